"""`list` and `ps` of containers that live, as they come and go."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., Bundle]
PARENT = "sleep 100 & sleep 101 & wait"


def listed(runtime: Runtime) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = runtime.list("--format", "json").check().json()
    return found


def children_up(runtime: Runtime, container: str, count: int) -> list[int]:
    """The container's pids, once there are `count`."""
    deadline = time.monotonic() + TIMEOUT
    while len(pids := runtime.ps(container, "--format", "json").check().json()) != count:
        assert time.monotonic() < deadline, f"{pids} instead of {count} processes"
        time.sleep(0.01)
    return list(pids)


def test_list_follows_the_lifecycle(runtime: Runtime, bundle: MakeBundle) -> None:
    assert listed(runtime) == []
    made = bundle(args=["sleep", "100"], annotations={"org.example.key": "value"})
    container = runtime.create(made).check().container
    (entry,) = listed(runtime)
    assert entry == {
        "ociVersion": "1.0.2",
        "id": container,
        "pid": runtime.pid(container),
        "status": "created",
        "bundle": str(made.path),
        "rootfs": str(made.rootfs),
        "created": entry["created"],
        "annotations": {"org.example.key": "value"},
        "owner": "root",
    }
    assert entry["created"].endswith("Z")
    runtime.start(container).check()
    assert listed(runtime)[0]["status"] == "running"
    assert runtime.list("-q").check().stdout == f"{container}\n"
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    assert [(e["status"], e["pid"]) for e in listed(runtime)] == [("stopped", 0)]
    runtime.delete(container).check()
    assert listed(runtime) == []


def test_table(runtime: Runtime, bundle: MakeBundle) -> None:
    containers = sorted(runtime.create(bundle()).check().container for _ in range(2))
    header, *rows = runtime.list().check().stdout.splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert [row.split()[0] for row in rows] == containers
    for row, container in zip(rows, containers, strict=True):
        assert row.split()[1:3] == [str(runtime.pid(container)), "created"]
        assert row.index(row.split()[3]) == header.index("BUNDLE")


def test_list_beside_create_and_delete(runtime: Runtime, bundle: MakeBundle) -> None:
    """Containers that come and go meanwhile are whole or absent, and no reason to complain."""
    stays = runtime.create(bundle()).check().container
    made = bundle()
    done = threading.Event()
    problems: list[str] = []

    def watch() -> None:
        while not done.is_set():
            result = runtime.list("-f", "json")
            entries = json.loads(result.stdout or "null")
            if result.status or result.stderr or stays not in [e["id"] for e in entries]:
                problems.append(str(result))
            problems.extend(str(e) for e in entries if not e["bundle"] or not e["created"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(10):
            container = runtime.create(made).check().container
            runtime.delete(container).check()
    finally:
        done.set()
        thread.join()
    assert problems == []


def test_damaged_beside_a_living_one(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.create(bundle()).check().container
    damaged = runtime.root / "damaged"
    damaged.mkdir()
    (damaged / "state.json").write_text('{"pid": ')
    result = runtime.list("-f", "json").check()
    (damaged / "state.json").unlink()
    damaged.rmdir()
    assert [entry["id"] for entry in result.json()] == [container]
    assert "warning: container damaged: damaged state" in result.stderr


def test_ps_of_a_created_container(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.create(bundle()).check().container
    assert runtime.ps(container, "-f", "json").check().json() == [runtime.pid(container)]


def test_ps_json(runtime: Runtime, bundle: MakeBundle) -> None:
    """The host's pids of all processes, the ones in namespaces of their own included."""
    container = runtime.up(bundle().shell(PARENT))
    pids = children_up(runtime, container, 3)
    assert pids == sorted(pids)
    assert runtime.pid(container) in pids
    namespace = os.readlink(f"/proc/{runtime.pid(container)}/ns/pid")
    assert {os.readlink(f"/proc/{pid}/ns/pid") for pid in pids} == {namespace}


def test_ps_table(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle().shell(PARENT))
    pids = children_up(runtime, container, 3)
    header, *rows = runtime.ps(container).check().stdout.splitlines()
    assert header.split()[:3] == ["UID", "PID", "PPID"]
    assert sorted(int(row.split()[1]) for row in rows) == pids
    assert {"sleep 100", "sleep 101"} <= {" ".join(row.split()[-2:]) for row in rows}


@pytest.mark.parametrize("options", [["-eo", "args,pid"], ["axo", "pid,args"], ["--", "-e"]])
def test_ps_options(runtime: Runtime, bundle: MakeBundle, options: list[str]) -> None:
    """They belong to ps(1), whatever they look like; a column of several words hides no process."""
    container = runtime.up(bundle(args=["sleep", "100"]))
    children_up(runtime, container, 1)
    pid = str(runtime.pid(container))
    result = runtime.call("ps", container, *options).check()
    rows = result.stdout.splitlines()[1:]
    assert [pid in row.split() for row in rows] == [True]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["-eo", "args"], "column PID"), (["--no-such-option"], "exit status 1")],
)
def test_ps_refuses(runtime: Runtime, bundle: MakeBundle, options: list[str], words: str) -> None:
    container = runtime.create(bundle()).check().container
    result = runtime.call("ps", container, *options)
    assert (result.status, result.stdout) == (1, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_ps_of_a_stopped_container(runtime: Runtime, bundle: MakeBundle) -> None:
    """There is nothing to show, and that is no failure (runc prints null, crun [])."""
    container = runtime.up(bundle())
    runtime.wait_for(container, "stopped")
    assert (runtime.ps(container, "--format", "json").check().json() or []) == []
    assert len(runtime.ps(container).check().stdout.splitlines()) == 1


def test_spec_is_a_bundle_that_runs(runtime: Runtime, bundle: MakeBundle) -> None:
    """What `spec` writes needs nothing but a root filesystem."""
    made = bundle()
    runtime.call("spec", "--bundle", str(made.path)).check()
    config = json.loads((made.path / "config.json").read_text())
    config["process"]["terminal"] = False
    config["process"]["args"] = ["sh", "-c", "id -u; grep -c . /proc/mounts; echo $$"]
    config["linux"]["cgroupsPath"] = f"/ocirt-test/{made.name}"
    (made.path / "config.json").write_text(json.dumps(config))
    result = runtime.run(Path(made.path)).check()
    uid, mounts, pid = result.stdout.split()
    assert (uid, pid) == ("0", "1")
    assert int(mounts) > 10


def test_plan_names_the_steps_create_takes(runtime: Runtime, bundle: MakeBundle) -> None:
    """A plan with root's rights, and afterwards there is no trace of it."""
    made = bundle().write()
    result = runtime.call("plan", "--bundle", str(made.path), "--format", "json", made.name)
    steps = result.check().json()["steps"]
    assert steps[0]["operands"] == {"root": str(runtime.root), "id": made.name}
    assert steps[-1]["step"] == "save-created"
    assert not runtime.root.exists()

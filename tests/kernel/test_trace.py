"""--trace on real commands: every process on one clock, and nothing of it in the container."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "trace.json").read_text())
COMMAND, INIT, OCI_INIT = 0, 1, 2


def spans(path: Path) -> list[dict[str, Any]]:
    """The spans of a valid trace."""
    document = json.loads(path.read_text())
    jsonschema.validate(document, SCHEMA)
    found = [event for event in document["traceEvents"] if event["ph"] == "X"]
    whole = next(e for e in found if e["name"] == f"ociruntime {document['otherData']['command']}")
    for event in found:
        # Times are doubles: a nanosecond may be lost.
        assert event["ts"] >= whole["ts"] - 0.002, event
        assert event["ts"] + event["dur"] <= whole["ts"] + whole["dur"] + 0.002, event
    return found


def names(found: list[dict[str, Any]], role: int) -> list[str]:
    return [event["name"] for event in found if event["tid"] == role]


@pytest.fixture
def traced(runtime: Runtime, tmp_path: Path) -> Path:
    """The trace file of the runtime's commands."""
    path = tmp_path / "trace.json"
    runtime.global_options = ("--trace", str(path))
    return path


def test_run(runtime: Runtime, bundle: MakeBundle, traced: Path) -> None:
    done = runtime.run(bundle(args=["sh", "-c", "ls -l /proc/self/fd; exit 3"], hostname="seen"))
    assert done.status == 3
    assert "trace" not in done.stdout
    found = spans(traced)
    assert {"map the start image", "initialize Python"} & set(names(found, COMMAND))
    assert "check the configuration" in names(found, COMMAND)
    hostname = next(event for event in found if event["args"].get("pointer") == "/hostname")
    assert (hostname["tid"], hostname["cat"]) == (INIT, "step")
    assert hostname["args"]["step"] == "set-hostname"
    assert [name for name in names(found, OCI_INIT) if "execute the program" in name]
    became = next(event for event in found if event["args"].get("step") == "exec-init")
    assert became["dur"] > 0
    # Every step of init lies where the host side waits for it.
    waits = [event for event in found if event["name"] == "wait for init"]
    for event in found:
        if event["tid"] == INIT and event["cat"] == "step":
            middle = event["ts"] + event["dur"] / 2
            assert any(w["ts"] <= middle <= w["ts"] + w["dur"] for w in waits), event["name"]
    pids = {event["pid"] for event in found if event["tid"] != COMMAND}
    assert len(pids) == 1
    assert pids.isdisjoint({event["pid"] for event in found if event["tid"] == COMMAND})


def test_life_of_a_container(runtime: Runtime, bundle: MakeBundle, traced: Path) -> None:
    made = bundle(args=["sleep", "100"])
    created = runtime.create(made).check()
    found = spans(traced)
    pid = runtime.pid(created.container)
    assert {event["pid"] for event in found if event["tid"] == INIT} == {pid}
    assert not names(found, OCI_INIT)
    runtime.start(created.container).check()
    found = spans(traced)
    assert {event["pid"] for event in found if event["tid"] == OCI_INIT} == {pid}
    runtime.exec(created.container, "true").check()
    found = spans(traced)
    assert any("make a process in container" in name for name in names(found, COMMAND))
    # No Python is in there.
    assert not names(found, INIT)
    inside = names(found, OCI_INIT)
    assert "find HOME and the program" in inside
    assert "set capabilities, execute the program" in inside
    runtime.kill(created.container, "KILL").check()
    assert "kill" in names(spans(traced), COMMAND)
    runtime.delete(created.container, "--force").check()
    assert "delete" in names(spans(traced), COMMAND)


@pytest.mark.parametrize("seconds", [1000, -1])
def test_a_time_namespace_is_corrected(
    runtime: Runtime, bundle: MakeBundle, traced: Path, seconds: int
) -> None:
    made = bundle(args=["true"])
    made.config["linux"]["namespaces"].append({"type": "time"})
    made.config["linux"]["timeOffsets"] = {"monotonic": {"secs": seconds, "nanosecs": 5}}
    made.write()
    assert runtime.run(made).status == 0
    found = spans(traced)
    assert names(found, INIT)
    assert names(found, OCI_INIT)


def test_filter(runtime: Runtime, bundle: MakeBundle, traced: Path) -> None:
    made = bundle(args=["true"])
    # It kills whoever asks for the time: oci-init must not do so once it is loaded.
    made.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["clock_gettime", "sendmsg"], "action": "SCMP_ACT_KILL_PROCESS"},
        ],
    }
    for privileges in (True, False):
        made.config["process"]["noNewPrivileges"] = privileges
        made.write()
        assert runtime.run(made).status == 0
        assert "load the seccomp filter, execute the program" in names(spans(traced), OCI_INIT)


def test_a_failing_create(runtime: Runtime, bundle: MakeBundle, traced: Path) -> None:
    made = bundle(args=["true"])
    made.config["mounts"].append(
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=nonsense"]}
    )
    made.write()
    assert runtime.create(made).status == 1
    failed = [event for event in spans(traced) if "error" in event["args"]]
    mount = next(event for event in failed if event["tid"] == INIT)
    assert mount["args"]["pointer"] == f"/mounts/{len(made.config['mounts']) - 1}"
    assert any(name.startswith("undo: ") for name in names(spans(traced), COMMAND))
    program = bundle(args=["/missing"])
    assert runtime.run(program).status != 0
    assert spans(traced)


def test_a_failing_start(runtime: Runtime, bundle: MakeBundle, traced: Path) -> None:
    created = runtime.create(bundle(args=["sleep", "100"])).check()
    runtime.start(created.container).check()
    assert runtime.start(created.container).status == 1
    start = next(event for event in spans(traced) if event["name"] == "start")
    assert "already running" in start["args"]["error"]

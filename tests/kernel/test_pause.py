"""pause, resume, and what other commands do to a paused container; on v1 and on cgroup v2."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import TIMEOUT
from tests.support.unified import unified_runtime

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
COUNTING = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.005; done"


@pytest.fixture(params=["native", "unified"])
def host(
    request: pytest.FixtureRequest, runtime_binary: Path, sandbox: Sandbox, runtime: Runtime
) -> Iterator[Runtime]:
    """The runtime on this host as it is, and on one with nothing but cgroup v2."""
    if request.param == "native":
        yield runtime
        return
    if LAYOUT.mode == "v2":
        pytest.skip("this host is pure cgroup v2 already")
    if LAYOUT.unified is None:
        pytest.skip("this host has no unified hierarchy")
    made = unified_runtime(runtime_binary, sandbox)
    yield made
    assert not made.remove_all()


def counts(bundle: Bundle, seconds: float = TIMEOUT) -> bool:
    """Whether the container is at work, or will be within so many seconds."""
    file = bundle.rootfs / "count"
    deadline = time.monotonic() + seconds
    before = file.read_text() if file.exists() else ""
    while time.monotonic() < deadline:
        time.sleep(0.02)
        if file.exists() and file.read_text() != before:
            return True
    return False


def test_a_paused_container_does_nothing_until_it_is_resumed(
    host: Runtime, bundle: MakeBundle
) -> None:
    made = bundle().shell(COUNTING)
    container = host.up(made)
    assert counts(made)
    host.call("pause", container).check()
    assert host.status(container) == "paused"
    assert host.list("--format", "json").json()[0]["status"] == "paused"
    assert not counts(made, 0.3)
    again = host.call("pause", container)
    assert not again.ok
    assert "container not running" in again.stderr
    host.call("resume", container).check()
    assert host.status(container) == "running"
    assert counts(made)
    again = host.call("resume", container)
    assert not again.ok
    assert "container not paused" in again.stderr


def test_a_created_container_can_be_paused(host: Runtime, bundle: MakeBundle) -> None:
    container = host.create(bundle(args=["sleep", "100"])).check().container
    host.call("pause", container).check()
    assert host.status(container) == "paused"
    started = host.start(container)
    assert not started.ok
    assert "cannot start a container in the paused state" in started.stderr
    host.call("resume", container).check()
    assert host.status(container) == "created"
    host.start(container).check()
    assert host.status(container) == "running"


def test_only_a_container_that_runs_can_be_paused(host: Runtime, bundle: MakeBundle) -> None:
    container = host.up(bundle(args=["true"]))
    host.wait_for(container, "stopped")
    for verb, words in (("pause", "container not running"), ("resume", "container not paused")):
        result = host.call(verb, container)
        assert result.status == 1
        assert words in result.stderr
        assert "container does not exist" in host.call(verb, "nobody").stderr


def test_exec_in_a_paused_container(host: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    container = host.up(made)
    host.call("pause", container).check()
    refused = host.exec(container, "true")
    assert refused.status == 255
    assert "cannot exec in a paused container (use --ignore-paused to override)" in refused.stderr


def test_a_killed_container_dies_although_it_is_paused(host: Runtime, bundle: MakeBundle) -> None:
    container = host.up(bundle(args=["sleep", "100"]))
    host.call("pause", container).check()
    host.kill(container, "KILL").check()
    host.wait_for(container, "stopped")


@pytest.mark.parametrize("options", [(), ("--all",)], ids=["init", "all"])
def test_other_signals_wait_for_the_resume(
    host: Runtime, bundle: MakeBundle, options: tuple[str, ...]
) -> None:
    made = bundle().shell(
        "trap 'echo got >/got; exit' USR1; touch /ready; while :; do sleep 0.01; done"
    )
    container = host.up(made)
    while not (made.rootfs / "ready").exists():
        time.sleep(0.01)
    host.call("pause", container).check()
    host.call("kill", *options, container, "USR1").check()
    assert host.status(container) == "paused"
    assert not (made.rootfs / "got").exists()
    host.call("resume", container).check()
    host.wait_for(container, "stopped")
    assert (made.rootfs / "got").exists()


def test_delete(host: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    container = host.up(bundle(args=["sleep", "100"]))
    host.call("pause", container).check()
    refused = host.delete(container)
    assert not refused.ok
    assert f"cannot delete container {container} that is not stopped: paused" in refused.stderr
    assert host.status(container) == "paused"
    host.delete(container, "--force").check()
    assert sandbox.cgroups() == []


def test_without_a_pid_namespace_everything_dies(host: Runtime, bundle: MakeBundle) -> None:
    """Children of the first process live on when it dies; SIGKILL and delete reach them all."""
    made = bundle().shell("sleep 100 & sleep 100 & sleep 100")
    made.drop_namespace("pid")
    container = host.up(made)
    host.wait_for(container, "running")
    deadline = time.monotonic() + TIMEOUT
    while len(pids := host.ps(container, "--format", "json").json()) < 3:
        assert time.monotonic() < deadline
    host.call("pause", container).check()
    host.kill(container, "KILL").check()
    host.wait_for(container, "stopped")
    deadline = time.monotonic() + TIMEOUT
    while any(os.path.exists(f"/proc/{pid}/exe") for pid in pids):
        assert time.monotonic() < deadline


@pytest.mark.skipif(LAYOUT.find("freezer") is None, reason="needs the freezer of cgroup v1")
@pytest.mark.parametrize("by", ["kill", "delete"])
def test_a_container_cannot_save_itself_by_freezing_a_part(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, by: str
) -> None:
    """With a writable cgroup mount it may freeze a cgroup below its own: on v1 frozen processes
    keep even SIGKILL waiting.
    """
    made = bundle().shell(
        "cd /sys/fs/cgroup/freezer; mkdir own; sleep 100 & echo $! >own/cgroup.procs; "
        "echo FROZEN >own/freezer.state; touch /ready; sleep 100"
    )
    made.mount("/sys/fs/cgroup")["options"] = ["rw"]
    container = runtime.up(made)
    while not (made.rootfs / "ready").exists():
        time.sleep(0.01)
    if by == "kill":
        runtime.kill(container, "KILL").check()
        runtime.wait_for(container, "stopped")
    runtime.delete(container, *(["--force"] if by == "delete" else [])).check()
    assert sandbox.cgroups() == []


def test_a_frozen_cgroup_above_is_named(host: Runtime, bundle: MakeBundle) -> None:
    freezer = LAYOUT.find("freezer")
    unified = LAYOUT.unified
    if "unified" in host.binary.name or freezer is None:
        assert unified is not None
        base, file, values = unified.mountpoint, "cgroup.freeze", ("1", "0")
    else:
        base, file, values = freezer.mountpoint, "freezer.state", ("FROZEN", "THAWED")
    made = bundle(args=["sleep", "100"])
    made.set("/linux/cgroupsPath", f"/ocirt-test/{made.name}/below")
    container = host.up(made)
    above = Path(base, "ocirt-test", made.name, file)
    above.write_text(values[0])
    try:
        deadline = time.monotonic() + TIMEOUT
        while host.status(container) != "paused":
            assert time.monotonic() < deadline
        resumed = host.call("resume", container)
        assert not resumed.ok
        assert "a cgroup above its own is frozen" in resumed.stderr
    finally:
        above.write_text(values[1])

"""A first process that was stopped before `start`, and one whose main thread has ended."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
# More than may wait on start.sock.
MANY = 20


def has_ended(pidfd: int) -> bool:
    ready, _, _ = select.select([pidfd], [], [], TIMEOUT)
    return bool(ready)


@pytest.fixture
def stopped(runtime: Runtime, bundle: MakeBundle) -> str:
    """A created container whose init was stopped, and whose socket is full."""
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    os.kill(runtime.pid(container), signal.SIGSTOP)
    for _ in range(MANY):
        assert runtime.status(container) == "created"
    return container


def test_state_never_blocks(runtime: Runtime, stopped: str) -> None:
    assert runtime.list("--format", "json").json()[0]["status"] == "created"
    runtime.call("ps", stopped).check()
    runtime.delete(stopped, "--force").check()
    assert not runtime.state(stopped).ok


def test_start_gives_up(runtime: Runtime, stopped: str) -> None:
    done = runtime.start(stopped, timeout=3 * TIMEOUT)
    assert done.status == 1
    assert "is stopped by a signal" in done.stderr
    assert "SIGCONT" in done.stderr
    runtime.delete(stopped, "--force").check()


def test_start_goes_on_with_it(runtime: Runtime, stopped: str) -> None:
    os.kill(runtime.pid(stopped), signal.SIGCONT)
    runtime.start(stopped).check()
    assert runtime.status(stopped) == "running"


def test_force_does_not_wait_for_who_waits(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path
) -> None:
    """A hook of `create` holds the lock, and waits for the container's process."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"""read -r line; echo >{fifo}
        pid=${{line#*\\"pid\\":}}; pid=${{pid%%,*}}
        while [ -d /proc/$pid ] && ! grep -q "^State:.Z" /proc/$pid/status; do sleep 0.05; done"""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
    made = bundle(args=["sleep", "100"], hooks={"createRuntime": [hook]}).write()
    name = made.name
    runtime.created.append(name)
    child = os.fork()
    if child == 0:
        runtime.call("create", "--bundle", str(made.path), name)
        os._exit(0)
    fifo.read_text()
    runtime.delete(name, "--force").check()
    os.waitpid(child, 0)
    assert not runtime.state(name).ok


@pytest.mark.parametrize("manager", ["cgroupfs", "disabled"])
def test_main_thread_has_ended(
    runtime: Runtime, bundle: MakeBundle, probe: Path, manager: str
) -> None:
    """Others run: that is a running container."""
    runtime.global_options = ("--cgroup-manager", manager)
    made = bundle(args=["/probe", "leaderless"]).install(probe, "/probe")
    container = runtime.up(made)
    pid = runtime.pid(container)
    pidfd = os.pidfd_open(pid)
    status = Path(f"/proc/{pid}/status")
    while "State:\tZ" not in status.read_text():
        assert not select.select([pidfd], [], [], 0.01)[0]
    assert runtime.status(container) == "running"
    refused = runtime.delete(container)
    assert refused.status == 1
    assert "not stopped: running" in refused.stderr
    runtime.kill(container, "KILL").check()
    assert has_ended(pidfd)
    os.close(pidfd)
    runtime.wait_for(container, "stopped")


@pytest.mark.parametrize("manager", ["cgroupfs", "disabled"])
def test_delete_without_a_main_thread(
    runtime: Runtime, bundle: MakeBundle, probe: Path, manager: str
) -> None:
    runtime.global_options = ("--cgroup-manager", manager)
    made = bundle(args=["/probe", "leaderless"]).install(probe, "/probe")
    container = runtime.up(made)
    pid = runtime.pid(container)
    pidfd = os.pidfd_open(pid)
    while "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert not select.select([pidfd], [], [], 0.01)[0]
    runtime.delete(container, "--force").check()
    assert has_ended(pidfd)
    os.close(pidfd)

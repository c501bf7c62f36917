"""The first process dies and its pid is given to a stranger: no signal may reach that one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 200


def _kill_and_reap(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            pytest.skip("nobody reaps orphans here")
        time.sleep(0.01)


@contextmanager
def _stranger(pid: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours with the wanted pid; skips when others keep taking it."""
    for _ in range(TRIES):
        LAST_PID.write_text(str(pid - 1))
        child = subprocess.Popen(["sleep", "60"])
        if child.pid == pid:
            break
        child.kill()
        child.wait()
    else:
        pytest.skip(f"pid {pid} could not be had")
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("stage", ["created", "running"])
def test_stranger_survives(runtime: Runtime, bundle: MakeBundle, stage: str) -> None:
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    if stage == "running":
        runtime.start(container).check()
    pid = runtime.pid(container)
    _kill_and_reap(pid)
    time.sleep(0.02)  # start times count in clock ticks of 10 ms
    with _stranger(pid) as stranger:
        assert runtime.status(container) == "stopped"
        for sig in ("TERM", "KILL", "0"):
            runtime.kill(container, sig)
        assert not runtime.exec(container, "true").ok
        runtime.delete(container, "--force").check()
        time.sleep(0.05)
        assert stranger.poll() is None, "a process that is not the container's was killed"

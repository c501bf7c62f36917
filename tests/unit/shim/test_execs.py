"""What a container cannot do to the daemon by keeping its own process from ending."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from select import EPOLLIN
from typing import Any, cast

import pytest

from ociruntime.errors import OciError
from ociruntime.process import patience
from ociruntime.resident import loop as loop_module
from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Job, Loop
from ociruntime.shim import execs
from ociruntime.shim.execs import CLD_EXITED, CLD_KILLED, Execs, SharedKernel


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> SharedKernel:
    monkeypatch.setattr(execs, "PATIENCE", 200)
    return SharedKernel(Exits())


@pytest.fixture
def stopped() -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    yield pid
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # the test has


def test_waiting_has_an_end(kernel: SharedKernel, stopped: int) -> None:
    pidfd = kernel.pidfd_open(stopped)
    assert kernel.wait_pidfd(pidfd) == (CLD_KILLED, signal.SIGKILL)
    os.close(pidfd)


def test_reaping_does_not_wait(kernel: SharedKernel, stopped: int) -> None:
    pidfd = kernel.pidfd_open(stopped)
    kernel.reap(pidfd, 10_000.0)
    assert not kernel.has_ended(pidfd)
    os.close(pidfd)


def test_the_status_is_told(kernel: SharedKernel) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    pidfd = kernel.pidfd_open(pid)
    assert kernel.wait_pidfd(pidfd) == (CLD_EXITED, 3)
    os.close(pidfd)


@pytest.mark.parametrize("said", [True, False])
def test_a_busy_loop_is_not_taken_for_a_process_that_died(
    monkeypatch: pytest.MonkeyPatch, *, said: bool
) -> None:
    """The program may have been executed, and have ended, before the loop sees what was said."""
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(loop_module, "EVENTS_AT_ONCE", 1)
    loop = Loop()
    busy, end = os.pipe()
    os.write(end, b"x")
    loop.watch(busy, EPOLLIN, lambda _: None)  # always there, and first
    readable, writable = os.pipe()
    if said:
        os.write(writable, b"x")
    dead = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(dead, 0)
    job = Job(Execs(loop, *cast("Any", (None, None)))._wait(readable, dead))
    job.result.when_done(loop.stop)
    if not job.result.done:
        loop.run()
    for fd in (busy, end, readable, writable):
        os.close(fd)

    assert isinstance(job.result._error, OciError) is not said

"""What a container cannot do to the daemon by keeping its own process from ending."""

from __future__ import annotations

import os
import signal
import time
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


def test_who_ended_unannounced_has_no_number_any_more(kernel: SharedKernel) -> None:
    """It may be another process's by now."""
    exits = kernel._exits
    exits.hold()
    exits.record(os.getpid(), 0)
    with pytest.raises(ProcessLookupError):
        kernel.pidfd_open(os.getpid())
    kernel._launched = time.time_ns() + 10**9  # what ended before oci-exec was started is another
    os.close(kernel.pidfd_open(os.getpid()))


def test_the_loop_does_not_wait_for_oci_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for a time, and then the exec fails."""
    monkeypatch.setattr(execs, "ENTERING", 0.01)
    loop = Loop()
    readable, writable = os.pipe()
    turns: list[int] = []

    async def others() -> None:
        while True:
            turns.append(1)
            await loop.sleep(0)

    job = Job(Execs(loop, *cast("Any", (None, None)))._wait(readable, 0))
    job.result.when_done(loop.stop)
    loop.spawn(others())
    loop.run()
    assert len(turns) > 1
    assert "oci-exec has not entered" in str(job.result._error)
    os.close(readable)
    os.close(writable)


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

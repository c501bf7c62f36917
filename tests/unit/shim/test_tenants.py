"""What a container cannot do to the daemon by keeping its own process from ending."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ociruntime.shim import tenants
from ociruntime.shim.exits import Exits
from ociruntime.shim.tenants import CLD_EXITED, CLD_KILLED, SharedKernel


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> SharedKernel:
    monkeypatch.setattr(tenants, "PATIENCE", 200)
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

"""Descriptors of sources, handed over a few at a time to an oci-setup on this machine."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator

import pytest

from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.program import Descriptor
from ociruntime.process.run import Run
from ociruntime.steps.handover import CloseSources, TakeSources
from tests.support.setup import oci_setup

NAMES = ["/mounts/3", "/mounts/7", "/mounts/8"]


def opened(run: Run) -> dict[str, int]:
    """A source for each name; their inodes."""
    for name in NAMES:
        run.fds[name] = os.memfd_create(name.replace("/", "-"))
    return {name: os.fstat(run.fds[name]).st_ino for name in NAMES}


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run(Kernel(), [])
    with oci_setup(made):
        yield made


def inodes(run: Run) -> dict[str, int]:
    return {name: run.inner.stat(run.fds[name]).ino for name in NAMES}


def gone(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False


def test_handed_over(run: Run) -> None:
    before = opened(run)
    fds = [run.fds[name] for name in NAMES]
    TakeSources(NAMES).execute(run)
    assert inodes(run) == before
    assert all(type(run.fds[name]) is Descriptor for name in NAMES)
    assert all(map(gone, fds))


def test_closed_here() -> None:
    """oci-setup was started with them, and has them by the same numbers."""
    run = Run(Kernel(), [])
    before = opened(run)
    fds = [run.fds[name] for name in NAMES]
    with oci_setup(run):
        CloseSources(NAMES).execute(run)
        assert all(map(gone, fds))
        assert inodes(run) == before


def test_no_room_for_all(run: Run) -> None:
    """What did not fit is missed now, and not when something is mounted."""
    opened(run)
    first = run.inner.ask_call("fcntl", 0, c.F_DUPFD, 0).value
    soft = first + 2
    run.kernel.prlimit(run.pid, resource.RLIMIT_NOFILE, soft, soft)
    step = TakeSources(NAMES)
    run.inner.step = step
    with pytest.raises(StepError, match="RLIMIT_NOFILE") as caught:
        step.execute(run)
    assert caught.value.number == errno.EMFILE


def test_too_many_on_their_way() -> None:
    assert "RLIMIT_NOFILE" in TakeSources(NAMES).explain(errno.ETOOMANYREFS)

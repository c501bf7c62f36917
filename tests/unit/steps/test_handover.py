"""Descriptors of bind mounts' sources, handed over a few at a time."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.process.run import Run
from ociruntime.steps.handover import (
    RECEIVER,
    SENDER,
    CloseSources,
    OpenHandover,
    SendSources,
    TakeSources,
)

NAMES = ["/mounts/3", "/mounts/7", "/mounts/8"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Both sides in one, with three pipes' ends for sources."""
    fds = {name: os.memfd_create(name.replace("/", "-")) for name in NAMES}
    made: Any = SimpleNamespace(kernel=SimpleNamespace(close=os.close), fds=fds, host_fds=[])
    OpenHandover().execute(made)
    yield cast("Run", made)
    for fd in made.fds.values():
        os.close(fd)


def sources(run: Run) -> dict[str, int]:
    return {name: fd for name, fd in run.fds.items() if name in NAMES}


def test_handed_over(run: Run) -> None:
    before = {name: os.fstat(fd).st_ino for name, fd in sources(run).items()}
    SendSources(NAMES).execute(run)
    assert sources(run) == {}
    TakeSources(NAMES).execute(run)
    assert {name: os.fstat(fd).st_ino for name, fd in sources(run).items()} == before
    assert not any(os.get_inheritable(fd) for fd in sources(run).values())


def test_the_host_side_keeps_its_end(run: Run) -> None:
    """Init closes it first of all."""
    assert run.host_fds == [run.fds[SENDER]]
    assert RECEIVER in run.fds


def test_closed_here(run: Run) -> None:
    fds = sources(run).values()
    CloseSources(NAMES).execute(run)
    assert sources(run) == {}
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_no_room_for_all(run: Run) -> None:
    """What did not fit is missed now, and not when something is mounted."""
    SendSources(NAMES).execute(run)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 2, hard))
    try:
        with pytest.raises(OSError, match="RLIMIT_NOFILE") as caught:
            TakeSources(NAMES).execute(run)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert len(sources(run)) < len(NAMES)


def test_too_many_on_their_way() -> None:
    assert "RLIMIT_NOFILE" in SendSources(NAMES).explain(errno.ETOOMANYREFS)

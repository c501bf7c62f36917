"""Room for the descriptors of many bind mounts, and the limit as it was afterwards."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.plan.limits import FEW_SOURCES, open_limit
from ociruntime.process.run import Run
from ociruntime.steps.openlimit import OTHERS

INIT = 4711


class Limits:
    """A kernel that has only this: the limit of descriptors of this process (0) and of init."""

    def __init__(self, soft: int, hard: int, *, privileged: bool = False) -> None:
        self.privileged = privileged
        self.of = {0: (soft, hard), INIT: (soft, hard)}
        self.closed: list[int] = []

    def get_rlimit(self, pid: int, _number: int) -> tuple[int, int]:
        return self.of[pid]

    def prlimit(self, pid: int, _number: int, soft: int, hard: int) -> None:
        if hard > self.of[pid][1] and not self.privileged:
            raise PermissionError(errno.EPERM, "not permitted")
        self.of[pid] = soft, hard

    def close(self, fd: int) -> None:
        self.closed.append(fd)


def run_of(kernel: Limits) -> Run:
    fds = {"/mounts/3": 30, "rootfs": 31, "/mounts/4": 32}
    return cast("Any", SimpleNamespace(kernel=kernel, pid=INIT, fds=fds))


def test_few_mounts_need_no_room() -> None:
    assert open_limit(FEW_SOURCES) == ([], [])


@pytest.mark.parametrize(
    ("hard", "privileged", "raised"),
    [
        (1 << 20, False, (2000 + OTHERS, 1 << 20)),
        (1100, False, (1100, 1100)),
        (1100, True, (2000 + OTHERS, 2000 + OTHERS)),
    ],
    ids=["room", "up to the hard limit", "beyond the hard limit"],
)
def test_raised_and_given_back(hard: int, privileged: bool, raised: tuple[int, int]) -> None:
    kernel = Limits(1024, hard, privileged=privileged)
    run = run_of(kernel)
    [first], [last] = open_limit(2000)
    first.execute(run)
    assert kernel.of[0] == raised
    kernel.of[INIT] = kernel.of[0]  # as clone(2) does
    last.execute(run)
    assert kernel.of == {0: (1024, hard), INIT: (1024, hard)}
    assert (kernel.closed, run.fds) == ([30, 32], {"rootfs": 31})


def test_given_back_after_a_failure() -> None:
    kernel = Limits(1024, 1 << 20)
    [first], _ = open_limit(2000)
    first.execute(run_of(kernel))
    first.undo(run_of(kernel))
    assert kernel.of[0] == (1024, 1 << 20)


def test_enough_is_left_alone() -> None:
    kernel = Limits(1 << 19, 1 << 20)
    run = run_of(kernel)
    [first], [last] = open_limit(2000)
    for step in (first, last):
        step.execute(run)
    assert kernel.of[0] == (1 << 19, 1 << 20)
    assert kernel.closed == []

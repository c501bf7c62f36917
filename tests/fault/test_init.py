"""init is killed, stopped, frozen or traced at every step of every command: that ends, its answer
names what happened, and its caller can delete the container.

The library and the shim carry out the same steps in processes of their own; there it happens at
every so many of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fault.victim import EXECUTED, Victim
from tests.fault.ways import DONE, FAILED, NOT_STARTED, Shim
from tests.support.tally import count
from tests.support.tracer import Tracer

if TYPE_CHECKING:
    from tests.fault.ways import Operation

pytestmark = pytest.mark.kernel
# Seconds that somebody who is held up is waited for.
PATIENCE = 0.1
# Each test has every so many-th point, from its own on.
PARTS, SPARSE = 4, 9
CASES = [
    *(("command line", part, PARTS) for part in range(PARTS)),
    ("library", 1, SPARSE),
    ("shim", 5, SPARSE),
]
cases = pytest.mark.parametrize(
    ("way", "first", "every"), CASES, ids=[f"{way}-{first}" for way, first, _ in CASES],
    indirect=["way"],
)  # fmt: skip
# Of start and delete, which are counted in lines: every so many.
LINES = 6
FREEZERS = (("freezer", "freezer.state", "FROZEN"), ("unified", "cgroup.freeze", "1"))


def kill(_victim: Victim, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def stop(_victim: Victim, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def freeze(victim: Victim, _pid: int) -> None:
    """The container's cgroup, as soon as there is one; who joins it later freezes then."""
    for path in victim.sandbox.cgroups():
        for _, name, value in FREEZERS:
            if path.name == victim.id and (path / name).exists():
                (path / name).write_text(value)


def trace(_victim: Victim, pid: int) -> None:
    """Not even dead does it let it go."""
    TRACER.release()
    TRACER.stop(pid)


TRACER = Tracer()
ACTIONS = {"kill": kill, "stop": stop, "freeze": freeze, "trace": trace}
Action = Callable[[Victim, int], None]
# All but killing take the time that somebody is waited for.
EVERY: dict[Action, int] = {kill: 1, stop: 1, freeze: 2, trace: 3}


@pytest.fixture(params=ACTIONS)
def action(request: pytest.FixtureRequest) -> Iterator[Action]:
    yield ACTIONS[request.param]
    TRACER.release()


def torment(
    victim: Victim, operation: Operation, action: Action, init: int = 0
) -> tuple[str, int, str]:
    """Do ``action`` to ``init`` (0: the newest child) where the operation has stopped, let it go
    on, and wait for its end: (point, exit status, what it said).
    """
    with operation:
        point = operation.wait_for_point()
        if not point:
            return "", operation.finish(), operation.said()
        children = [init] if init else operation.children()
        if children:
            count("torments")
            # Delete may have come so far that there is nobody any more.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                action(victim, children[-1])
        try:
            operation.go_on()
        except BrokenPipeError:
            pass  # it was init that had stopped, and is dead
        status, said = operation.finish(), operation.said()
    if not init:
        # The first process cannot end before another in its pid namespace, which a tracer outside
        # keeps.
        TRACER.release()
    assert status in (DONE, FAILED, NOT_STARTED), f"{point}: {said}"
    assert "internal error" not in said, f"{point}: {said}"
    assert status == 0 or len(said.strip().splitlines()) == 1, f"{point}: {said}"
    return point, status, said


@pytest.mark.timeout(900)
@cases
def test_create(victim: Victim, action: Action, first: int, every: int) -> None:
    options = {
        "console_socket": str(victim.console),
        "pid_file": str(victim.pid_file),
        "pidfd_socket": str(victim.console),
    }
    bundle = str(victim.bundle.path)
    for index, _ in victim.points()[first :: every * EVERY[action]]:
        operation = victim.ask("run", index, bundle=bundle, options=options, patience=PATIENCE)
        point, status, said = torment(victim, operation, action)
        assert point or said
        if status == FAILED:
            assert not victim.pid_file.exists(), point
        victim.pid_file.unlink(missing_ok=True)
        victim.check(f"{point}: {said}")


@pytest.mark.timeout(900)
@cases
@pytest.mark.parametrize("verb", ["start", "delete"])
def test_lines(victim: Victim, action: Action, verb: str, first: int, every: int) -> None:
    victim.lean(verb)
    at = first * LINES
    while True:
        victim.create()
        init = victim.init()
        operation = victim.ask(verb, at, patience=PATIENCE)
        point, _, said = torment(victim, operation, action, init)
        victim.check(f"{verb} {point}: {said}")
        if not point:
            break
        at += every * LINES
    assert at > 10


@pytest.mark.parametrize("whom", ["first", "new"])
@pytest.mark.timeout(900)
@cases
def test_exec(victim: Victim, action: Action, whom: str, first: int, every: int) -> None:
    """It happens to the container's first process, or to the new one."""
    victim.lean()
    options = victim.exec_options()
    # Without a terminal the shim's daemon has nothing else to wait for.
    process = {**EXECUTED, "terminal": whom == "first" or not isinstance(victim.way, Shim)}
    at = first
    while True:
        victim.create()
        victim.start()
        init = victim.init() if whom == "first" else 0
        operation = victim.ask("exec", at, process=process, options=options, patience=PATIENCE)
        point, _, said = torment(victim, operation, action, init)
        Path(options["pid_file"]).unlink(missing_ok=True)
        victim.check(f"exec {point}: {said}")
        if not point:
            break
        at += every * EVERY[action]
    assert at > 10

"""init is killed, stopped or frozen at every step of every command: the command ends, its answer
names what happened, and `delete --force` leaves nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fault.victim import EXECUTED, STEPS, Driven, Victim
from tests.support.tally import count

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.kernel
# Seconds that the driver waits for somebody who is held up.
PATIENCE = 0.1
# Each test has every PARTS-th point.
PARTS = 4
# The status of tests/fault/driver.py.
NOT_STARTED = 3
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


ACTIONS = {"kill": kill, "stop": stop, "freeze": freeze}
Action = Callable[[Victim, int], None]
# Stopping and freezing take the time that the driver waits.
EVERY: dict[Action, int] = {kill: 1, stop: 1, freeze: 2}


@pytest.fixture(params=ACTIONS)
def action(request: pytest.FixtureRequest) -> Action:
    return ACTIONS[request.param]


def torment(victim: Victim, driven: Driven, action: Action, first: int = 0) -> tuple[str, int, str]:
    """Do ``action`` to init (``first``, or the newest child) where the command has stopped, let it
    go on, and wait for its end: (point, exit status, what it said).
    """
    with driven:
        point = driven.wait_for_point()
        if not point:
            return "", driven.finish(), driven.said()
        children = [first] if first else driven.children()
        if children:
            count("torments")
            action(victim, children[-1])
        try:
            driven.go_on()
        except BrokenPipeError:
            pass  # it was init that had stopped, and is dead
        status, said = driven.finish(), driven.said()
    assert status in (0, 1, NOT_STARTED), f"{point}: {said}"
    assert "internal error" not in said, f"{point}: {said}"
    assert status == 0 or len(said.strip().splitlines()) == 1, f"{point}: {said}"
    return point, status, said


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_create(victim: Victim, action: Action, part: int) -> None:
    options = {
        "console_socket": str(victim.console),
        "pid_file": str(victim.pid_file),
        "pidfd_socket": str(victim.console),
    }
    bundle = str(victim.bundle.path)
    for index, _ in STEPS[part :: PARTS * EVERY[action]]:
        driven = victim.drive("run", index, bundle=bundle, options=options, patience=PATIENCE)
        point, status, said = torment(victim, driven, action)
        assert point or said
        if status == 1:
            assert not victim.pid_file.exists(), point
        victim.pid_file.unlink(missing_ok=True)
        victim.check(f"{point}: {said}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", ["start", "delete"])
def test_lines(victim: Victim, action: Action, verb: str, part: int) -> None:
    at = part * LINES
    while True:
        victim.create()
        init = victim.runtime.pid(victim.id)
        driven = victim.drive(verb, at, patience=PATIENCE)
        point, _, said = torment(victim, driven, action, init)
        victim.check(f"{verb} {point}: {said}")
        if not point:
            break
        at += PARTS * LINES
    assert at > 10


@pytest.mark.parametrize("whom", ["first", "new"])
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_exec(victim: Victim, action: Action, whom: str, part: int) -> None:
    """It happens to the container's first process, or to the new one."""
    options = victim.exec_options()
    at = part
    while True:
        victim.create()
        victim.runtime.start(victim.id).check()
        first = victim.runtime.pid(victim.id) if whom == "first" else 0
        driven = victim.drive("exec", at, process=EXECUTED, options=options, patience=PATIENCE)
        point, _, said = torment(victim, driven, action, first)
        Path(options["pid_file"]).unlink(missing_ok=True)
        victim.check(f"exec {point}: {said}")
        if not point:
            break
        at += PARTS * EVERY[action]
    assert at > 10

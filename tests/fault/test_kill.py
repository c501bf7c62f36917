"""The runtime is killed (SIGKILL) at every step: `delete --force` leaves nothing, the id is free.
"""

from __future__ import annotations

import pytest

from tests.fault.victim import EXECUTED, STEPS, Victim

pytestmark = pytest.mark.kernel
# start, delete and exec have no plan that could be known in advance: every PARTS-th point each.
PARTS = 4
LAST_STEPS = ("save-created",)


@pytest.mark.parametrize(("index", "kind"), STEPS, ids=[f"{i}-{kind}" for i, kind in STEPS])
def test_create(victim: Victim, index: int, kind: str) -> None:
    paths = {
        "console_socket": str(victim.console),
        "pid_file": str(victim.pid_file),
        "pidfd_socket": str(victim.console),
    }
    bundle = str(victim.bundle.path)
    point = victim.kill_at("create", index, bundle=bundle, options=paths)
    assert f" {kind}:" in point
    victim.check(point)
    if kind not in LAST_STEPS:  # then it is a complete container, whose pid file is the engine's
        assert not victim.pid_file.exists()
    victim.create()
    victim.runtime.delete(victim.id).check()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", ["start", "delete"])
def test_lines(victim: Victim, verb: str, part: int) -> None:
    """Killed before each line of what carries the operation out."""
    victim.lean(verb)
    at = part
    while True:
        victim.create()
        point = victim.kill_at(verb, at)
        victim.check(f"{verb} {point}")
        if not point:
            break
        at += PARTS
    assert at > 10


@pytest.mark.parametrize("part", range(PARTS))
def test_exec(victim: Victim, part: int) -> None:
    """The container goes on running, and can be deleted."""
    victim.lean()
    options = victim.exec_options()
    victim.create()
    victim.runtime.start(victim.id).check()
    at = part
    while point := victim.kill_at("exec", at, process=EXECUTED, options=options):
        assert victim.runtime.status(victim.id) == "running", point
        at += PARTS
    assert at > 10
    victim.check("exec")

"""Who may keep the loop busy next."""

from __future__ import annotations

from ociruntime.resident.loop import Job, Loop
from ociruntime.resident.turns import Turns


class GaveUpError(Exception):
    """What the tests cancel with."""


def test_who_asks_for_little_waits_for_one_of_each_of_the_others() -> None:
    loop = Loop()
    turns = Turns(loop)
    served: list[str] = []

    async def piece(who: str) -> None:
        await turns.turn(who)
        served.append(who)

    for who in ("much", "much", "much", "more", "more", "little"):
        Job(piece(who))
    assert served == ["much"], "the first one need not wait, and the others do"
    loop.spawn(_stop_after(loop, served, 6))
    loop.run()
    assert served == ["much", "much", "more", "little", "much", "more"]
    Job(piece("again"))
    assert served[-1] == "again", "when nobody waits a turn is free"


def test_who_gives_up_is_not_waited_for() -> None:
    loop = Loop()
    turns = Turns(loop)
    served: list[str] = []

    async def piece(who: str) -> None:
        await turns.turn(who)
        served.append(who)

    Job(piece("first"))
    Job(piece("patient"))
    job = Job(piece("impatient"))
    job.cancel(GaveUpError())
    Job(piece("last"))
    loop.spawn(_stop_after(loop, served, 3))
    loop.run()
    assert served == ["first", "patient", "last"]


async def _stop_after(loop: Loop, served: list[str], count: int) -> None:
    while len(served) < count:
        await loop.sleep(0)
    await loop.sleep(0)  # who hands out turns has seen that nobody waits
    loop.stop()

"""Who may keep the loop busy next."""

from __future__ import annotations

import os
from select import EPOLLIN

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
    assert served == [], "others may have work that takes no time"
    loop.spawn(_stop_after(loop, served, 6))
    loop.run()
    assert served == ["much", "more", "little", "much", "more", "much"]


def test_one_piece_in_each_turn_and_the_second_before_others_begin() -> None:
    """What became ready meanwhile is served before each of them."""
    loop = Loop()
    turns = Turns(loop)
    served: list[str] = []
    readable, writable = os.pipe()

    def answer(_ready: int) -> None:
        os.read(readable, 1)
        served.append("answer")

    async def work(who: str) -> None:
        for piece in (1, 2):
            await turns.turn(who, begun=piece == 2)
            served.append(f"{who} {piece}")
            os.write(writable, b"x")

    loop.watch(readable, EPOLLIN, answer)
    for who in ("a", "b"):
        Job(work(who))
    loop.spawn(_stop_after(loop, served, 8))
    loop.run()
    assert served == ["a 1", "answer", "a 2", "answer", "b 1", "answer", "b 2", "answer"]
    for fd in (readable, writable):
        os.close(fd)


def test_who_gives_up_its_second_piece_is_not_waited_for() -> None:
    loop = Loop()
    turns = Turns(loop)
    served: list[str] = []

    async def work(who: str, *, begun: bool) -> None:
        await turns.turn(who, begun=begun)
        served.append(who)

    Job(work("new", begun=False))
    Job(work("impatient", begun=True)).cancel(GaveUpError())
    Job(work("old", begun=True))
    loop.spawn(_stop_after(loop, served, 2))
    loop.run()
    assert served == ["old", "new"]


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

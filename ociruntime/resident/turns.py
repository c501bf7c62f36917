"""Who may keep the loop busy next.

A piece of work of some milliseconds in a callback holds up everything that has become ready at the
same time. ``Turns`` lets one such piece run in each turn of the loop, and those who want more than
one take their places in a circle: who asks seldom waits for one piece of each of the others,
however many these have asked for.
"""

from __future__ import annotations

from ociruntime.resident.loop import Future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.resident.loop import Loop


class Turns:
    """Hands out turns of ``loop``."""

    __slots__ = ("_given", "_loop", "_waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._given = False
        # In the order in which they come next.
        self._waiting: dict[str, list[Future]] = {}

    async def turn(self, who: str) -> None:
        """Wait for the next turn of ``who``: at once if this turn of the loop is still free."""
        if self._given:
            place = Future()
            self._waiting.setdefault(who, []).append(place)
            try:
                await place
            except BaseException:  # it was cancelled
                self._leave(who, place)
                raise
            return
        self._given = True
        self._loop.spawn(self._give())

    async def _give(self) -> None:
        """One in each turn, until nobody waits."""
        while True:
            await self._loop.sleep(0)
            if not self._waiting:
                break
            who = next(iter(self._waiting))
            places = self._waiting.pop(who)
            place = places.pop(0)
            if places:
                self._waiting[who] = places  # behind the others
            place.set()
        self._given = False

    def _leave(self, who: str, place: Future) -> None:
        places = self._waiting.get(who, [])
        if place in places:
            places.remove(place)
            if not places:
                del self._waiting[who]

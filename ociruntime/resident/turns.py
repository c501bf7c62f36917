"""Who may keep the loop busy next.

A piece of work of a millisecond in a callback holds up everything that has become ready at the same
time. ``Turns`` lets one such piece run in each turn of the loop, at its end, when all that is done
quickly has been done. Those who want more than one take their places in a circle: who asks seldom
waits for one piece of each of the others, however many these have asked for. Work in several pieces
is done before other work is begun.
"""

from __future__ import annotations

from ociruntime.resident.loop import Future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.resident.loop import Loop


class Turns:
    """Hands out turns of ``loop``."""

    __slots__ = ("_begun", "_gives", "_loop", "_waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._gives = False
        self._begun: list[Future] = []
        # Those who have not begun, in the order in which they come next.
        self._waiting: dict[str, list[Future]] = {}

    async def turn(self, who: str, *, begun: bool = False) -> None:
        """Wait for the next turn of ``who``, for the next one of all when ``begun``: for a further
        piece of what has had a turn.
        """
        place = Future()
        places = self._begun if begun else self._waiting.setdefault(who, [])
        places.append(place)
        if not self._gives:
            self._gives = True
            self._loop.spawn(self._give())
        try:
            await place
        except BaseException:  # it was cancelled
            self._leave(who, place)
            raise

    async def _give(self) -> None:
        """One in each turn, until nobody waits."""
        while True:
            await self._loop.sleep(0)
            place = self._next()
            if place is None:
                break
            place.set()
        self._gives = False

    def _next(self) -> Future | None:
        if self._begun:
            return self._begun.pop(0)
        if not self._waiting:
            return None
        who = next(iter(self._waiting))
        places = self._waiting.pop(who)
        place = places.pop(0)
        if places:
            self._waiting[who] = places  # behind the others
        return place

    def _leave(self, who: str, place: Future) -> None:
        if place in self._begun:
            self._begun.remove(place)
        places = self._waiting.get(who, [])
        if place in places:
            places.remove(place)
            if not places:
                del self._waiting[who]

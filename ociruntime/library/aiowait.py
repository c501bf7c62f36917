"""Waiting in a task for what a thread tells, for a descriptor, and for what is being made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from ociruntime.library.errors import Timeout

if TYPE_CHECKING:
    from ociruntime.library.answer import PendingAnswer

Told = TypeVar("Told")


class AsyncManager(Protocol):
    """What ``async with`` takes."""

    async def __aenter__(self) -> Self:
        """Begin."""

    async def __aexit__(self, *exception: object) -> None:
        """End."""


Made = TypeVar("Made", bound=AsyncManager)


class Pending(Generic[Made]):
    """What is being made: ``await`` it, or use it with ``async with``."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Made]]) -> None:
        self._make = make
        self._made: Made | None = None

    def __await__(self) -> Generator[Any, Any, Made]:
        return self._make().__await__()

    async def __aenter__(self) -> Made:
        self._made = await self._make()
        return await self._made.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        assert self._made is not None
        await self._made.__aexit__(*exception)


async def told(answer: PendingAnswer[Told]) -> Told:
    """``PendingAnswer.result`` for a task."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not here.done():
            here.set_result(None)

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            return  # the loop was closed meanwhile, and with it whoever waited

    answer.call(tell)
    await here
    return answer.result()


async def within(
    timeout: float | None, waited_for: str, what: Coroutine[Any, Any, Told]
) -> Told:
    """``what``, or ``Timeout`` after so many seconds, which says what was ``waited_for``."""
    try:
        async with asyncio.timeout(timeout):
            return await what
    except TimeoutError:
        raise Timeout(waited_for, timeout or 0) from None


async def readable(fd: int, seconds: float) -> None:
    """Until ``fd`` is readable, at most ``seconds``."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not here.done():
            here.set_result(None)

    loop.add_reader(fd, wake)
    try:
        async with asyncio.timeout(seconds):
            await here
    except TimeoutError:
        return
    finally:
        loop.remove_reader(fd)

"""One thread, one epoll: callbacks for descriptors, timers, and coroutines that wait for both.

asyncio would take 66 ms to import and several MB. What the shim needs of it is here: ``async def``
functions run as tasks, and wait for a ``Future``.
"""

from __future__ import annotations

import time
from select import EPOLL_CLOEXEC, epoll

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any

    Task = Coroutine[Any, None, None]

EVENTS_AT_ONCE = 64


class Future:
    """A value that comes later; ``await`` gives it, or raises what it failed with."""

    __slots__ = ("_callbacks", "_error", "done", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []

    def set(self, value: object = None) -> None:
        """Give the value; a second time has no effect."""
        if not self.done:
            self.value = value
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Let the waiting ones fail."""
        if not self.done:
            self._error = error
            self._finish()

    def _finish(self) -> None:
        self.done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back when there is a value; at once if there is one."""
        if self.done:
            callback()
        else:
            self._callbacks.append(callback)

    def __await__(self) -> Generator[Future, None, Any]:
        if not self.done:
            yield self
        if self._error is not None:
            raise self._error
        return self.value


class Lock:
    """One coroutine at a time, in the order in which they came: ``async with lock``."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Future] = []

    async def __aenter__(self) -> None:
        turn = Future()
        self._waiting.append(turn)
        if self._waiting[0] is not turn:
            await turn

    async def __aexit__(self, *_: object) -> None:
        self._waiting.pop(0)
        if self._waiting:
            self._waiting[0].set()


class Loop:
    """``run`` serves descriptors and timers until ``stop``."""

    __slots__ = ("_callbacks", "_count", "_epoll", "_running", "_timers")

    def __init__(self) -> None:
        self._epoll = epoll(-1, EPOLL_CLOEXEC)
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Future]] = []
        self._count = 0
        self._running = False

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call ``callback(ready)`` whenever ``fd`` has one of ``events`` (EPOLLIN, ...), level
        triggered. A watched descriptor gets new events and callback.
        """
        known = fd in self._callbacks
        self._callbacks[fd] = callback
        if known:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch ``fd`` no more: to be called before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def sleep(self, seconds: float) -> Future:
        """A future that is done in so many seconds."""
        future = Future()
        self._count += 1
        self._timers.append((time.monotonic() + seconds, self._count, future))
        self._timers.sort()  # a handful
        return future

    def ready(self, fd: int, events: int) -> Future:
        """A future that is done when ``fd`` has one of ``events``; its value are those it has."""
        future = Future()

        def arrived(found: int) -> None:
            self.forget(fd)
            future.set(found)

        self.watch(fd, events, arrived)
        return future

    def spawn(self, task: Task) -> None:
        """Run a coroutine up to its first wait now, the rest when what it waits for is there. It
        must handle its own errors.
        """
        try:
            future: Future = task.send(None)
        except StopIteration:
            return
        future.when_done(lambda: self.spawn(task))

    def run(self) -> None:
        """Serve until ``stop`` is called."""
        self._running = True
        while self._running:
            timeout = -1.0
            if self._timers:
                timeout = max(0.0, self._timers[0][0] - time.monotonic())
            for fd, ready in self._epoll.poll(timeout, EVENTS_AT_ONCE):
                callback = self._callbacks.get(fd)
                if callback is not None:  # else an earlier one of this turn has forgotten it
                    callback(ready)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._timers.pop(0)[2].set()

    def stop(self) -> None:
        """Let ``run`` return after this turn."""
        self._running = False


async def first(loop: Loop, future: Future, seconds: float) -> bool:
    """Wait for ``future``, but not longer than ``seconds``; whether it is done."""
    either = Future()
    future.when_done(either.set)
    loop.sleep(seconds).when_done(either.set)
    await either
    return future.done

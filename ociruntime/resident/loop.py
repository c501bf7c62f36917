"""One thread, one epoll: callbacks for descriptors, timers, and coroutines that wait for both.

asyncio would take 66 ms to import and several MB. What the shim needs of it is here: ``async def``
functions run as tasks, and wait for a ``Future``.
"""

from __future__ import annotations

import time
from select import EPOLL_CLOEXEC, epoll

from ociruntime.kernel.rest import rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any

    Task = Coroutine[Any, None, None]

EVENTS_AT_ONCE = 256
# How long a turn may take before we look again who has something for us, and how long it takes
# until half of what somebody has cost is forgotten (seconds).
TURN_SECONDS = 0.002
HALF_LIFE = 1.0
# When nothing has happened for so long, memory is given back (seconds): to have it again costs a
# request some milliseconds, and probes come every ten seconds where nobody says otherwise.
REST_SECONDS = 15.0


class Turn:
    """Calls what has become due one after the other: three thousand requests that wait for each
    other would else be as many calls deep.
    """

    __slots__ = ("_due", "_under_way")

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []
        self._under_way = False

    def call(self, callbacks: list[Callable[[], None]]) -> None:
        """Call them now; from inside one of them: as soon as it has returned."""
        self._due.extend(callbacks)
        if self._under_way:
            return
        self._under_way = True
        try:
            while self._due:
                self._due.pop(0)()
        finally:
            self._under_way = False


_turn = Turn()


class Future:
    """A value that comes later; ``await`` gives it, or raises what it failed with.

    ``abandon`` is called when the one who waits for it does so no longer.
    """

    __slots__ = ("_callbacks", "_error", "abandon", "done", "value")

    def __init__(self, abandon: Callable[[], None] | None = None) -> None:
        self.done = False
        self.value: Any = None
        self.abandon = abandon
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
        _turn.call(callbacks)

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


class Job:
    """A coroutine under way; ``result`` is what it returns, or fails as it does.

    ``cancelled`` once it was told to end: it may still be cleaning up.
    """

    __slots__ = ("_coroutine", "_waiting", "cancelled", "result")

    def __init__(self, coroutine: Coroutine[Any, None, Any]) -> None:
        self._coroutine = coroutine
        self._waiting: Future | None = None
        self.cancelled = False
        self.result = Future()
        self._go(None)

    def cancel(self, error: BaseException) -> None:
        """Raise ``error`` where it waits; without effect on one that has ended."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        self.cancelled = True
        if waiting.abandon is not None:
            waiting.abandon()
        self._go(error)

    def _go(self, error: BaseException | None) -> None:
        try:
            if error is None:
                future: Future = self._coroutine.send(None)
            else:
                future = self._coroutine.throw(error)
        except StopIteration as end:
            self.result.set(end.value)
        except BaseException as problem:  # noqa: BLE001 - it is whose who waits for the result
            self.result.fail(problem)
        else:
            self._waiting = future
            future.when_done(lambda: self._resume(future))

    def _resume(self, future: Future) -> None:
        if self._waiting is future:
            self._waiting = None
            self._go(None)


class Lock:
    """One coroutine at a time, in the order in which they came: ``async with lock``."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Future] = []

    async def __aenter__(self) -> None:
        turn = Future()
        self._waiting.append(turn)
        if self._waiting[0] is not turn:
            try:
                await turn
            except BaseException:  # it was cancelled
                self._leave(turn)
                raise

    async def __aexit__(self, *_: object) -> None:
        self._leave(self._waiting[0])

    def _leave(self, turn: Future) -> None:
        """Who is first now may go on."""
        was_first = self._waiting[0] is turn
        self._waiting.remove(turn)
        if was_first and self._waiting:
            self._waiting[0].set()


class Loop:
    """``run`` serves descriptors and timers until ``stop``. The loop of a process that ``rests``,
    in which there is no other thread, gives back memory while nothing happens.

    Descriptors of clients are served in the order of the time that each has cost lately: who asks
    for little need not wait behind those who ask for much.
    """

    __slots__ = (
        "_callbacks",
        "_costs",
        "_count",
        "_epoll",
        "_forgotten",
        "_rests",
        "_running",
        "_timers",
    )

    def __init__(self, *, rests: bool = False) -> None:
        self._rests = rests
        self._epoll = epoll(-1, EPOLL_CLOEXEC)
        self._callbacks: dict[int, Callable[[int], None]] = {}
        # Seconds, by the descriptors of clients; when these were last divided.
        self._costs: dict[int, float] = {}
        self._forgotten = 0.0
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
            self._costs.pop(fd, None)

    def watch_client(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """The same as ``watch`` for somebody who decides how much is done for him."""
        self.watch(fd, events, callback)
        self._costs.setdefault(fd, 0.0)

    def sleep(self, seconds: float) -> Future:
        """A future that is done in so many seconds."""
        self._count += 1
        future = Future(lambda: self._forget_timer(timer))
        timer = (time.monotonic() + seconds, self._count, future)
        self._timers.append(timer)
        self._timers.sort()  # in order but for the last one
        return future

    def _forget_timer(self, timer: tuple[float, int, Future]) -> None:
        if not timer[2].done:
            self._timers.remove(timer)

    def ready(self, fd: int, events: int) -> Future:
        """A future that is done when ``fd`` has one of ``events``; its value are those it has."""
        future = Future(lambda: self.forget(fd))

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
            self._serve(self._poll(timeout))
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._timers.pop(0)[2].set()

    def _serve(self, found: list[tuple[int, int]]) -> None:
        """Call back for as many as fit into a turn; the others are still ready in the next one."""
        costs = self._costs
        if len(found) > 1:
            found.sort(key=lambda each: costs.get(each[0], -1.0))
        now = time.monotonic()
        end = now + TURN_SECONDS
        for fd, ready in found:
            callback = self._callbacks.get(fd)
            if callback is None:
                continue  # an earlier one of this turn has forgotten it
            callback(ready)
            before, now = now, time.monotonic()
            if fd in costs:
                costs[fd] += now - before
            if now > end:
                break
        if now - self._forgotten > HALF_LIFE:
            share = 0.5 ** min((now - self._forgotten) / HALF_LIFE, 64)
            self._forgotten = now
            for fd in costs:
                costs[fd] *= share

    def _poll(self, seconds: float) -> list[tuple[int, int]]:
        """What is ready within so many ``seconds`` (negative: some day)."""
        if not self._rests or 0 <= seconds <= REST_SECONDS:
            return self._epoll.poll(seconds, EVENTS_AT_ONCE)
        found = self._epoll.poll(REST_SECONDS, EVENTS_AT_ONCE)
        if not found:
            rest(self._epoll.fileno(), seconds - REST_SECONDS if seconds > 0 else seconds)
            found = self._epoll.poll(0, EVENTS_AT_ONCE)
        return found

    def stop(self) -> None:
        """Let ``run`` return after this turn."""
        self._running = False


async def first(loop: Loop, future: Future, seconds: float) -> bool:
    """Wait for ``future``, but not longer than ``seconds``; whether it is done."""
    either = Future()
    future.when_done(either.set)
    timer = loop.sleep(seconds)
    timer.when_done(either.set)
    try:
        await either
    finally:
        if timer.abandon is not None:
            timer.abandon()
    return future.done

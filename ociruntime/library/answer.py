"""What a thread waits for and another one tells.

``concurrent.futures.Future`` would do, but for interrupts: its lock is shared by who waits and who
tells, and a signal's handler that raises (Ctrl-C) can come between taking it and the block that
gives it back. Nothing would ever be told again then. Here each who waits has a lock of its own, and
who tells only ever releases it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Told = TypeVar("Told")


class PendingAnswer(Generic[Told]):
    """Told once, by one thread that has no signal handlers; waited for by any number.

    ``expected`` is for whoever asks: whether it was asked for.
    """

    __slots__ = ("_done", "_error", "_told", "_waiting", "expected")

    def __init__(self) -> None:
        self.expected = False
        self._done = False
        self._told: Told | None = None
        self._error: BaseException | None = None
        # What is called when it is told: append(), pop() and the flag need no lock.
        self._waiting: list[Callable[[], Any]] = []

    @property
    def done(self) -> bool:
        """Whether it was told."""
        return self._done

    def tell(self, told: Told) -> None:
        """Wake all that wait."""
        self._told = told
        self._settle()

    def fail(self, error: BaseException) -> None:
        """Wake all that wait: each of them raises it."""
        self._error = error
        self._settle()

    def result(self, seconds: float | None = None) -> Told:
        """What was told; raises the error instead, or ``TimeoutError`` after ``seconds``."""
        error = self.error(seconds)
        if error is not None:
            raise error
        return self._told  # type: ignore[return-value]

    def error(self, seconds: float | None = None) -> BaseException | None:
        """The error that was told, None for none; raises ``TimeoutError`` after ``seconds``."""
        if not self._done:
            mine = threading.Lock()
            mine.acquire()
            self.call(mine.release)
            patience = -1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)
            if not mine.acquire(timeout=patience):
                self._take(mine.release)
                raise TimeoutError(f"nothing was told within {seconds:g} s")
        return self._error

    def call(self, what: Callable[[], Any]) -> None:
        """Call it, once, when this is told: in the thread that tells, or here if it was already."""
        self._waiting.append(what)
        # Only this one here: interrupted in between, the others' would be lost.
        if self._done and self._take(what):
            what()

    def _settle(self) -> None:
        self._done = True
        while self._waiting:
            try:
                what = self._waiting.pop()
            except IndexError:
                return  # the thread that waits for it has just taken it
            what()

    def _take(self, what: Callable[[], Any]) -> bool:
        try:
            self._waiting.remove(what)
        except ValueError:
            return False
        return True

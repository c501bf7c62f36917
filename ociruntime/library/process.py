"""A process in a container: the container's own, or one that ``exec`` added."""

from __future__ import annotations

import asyncio
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from ociruntime.errors import PROCESS_FINISHED, WrongStatus
from ociruntime.library import arguments
from ociruntime.library.errors import Timeout
from ociruntime.library.streams import ProcessStreams, close_files
from ociruntime.library.talk import Talk

if TYPE_CHECKING:
    from ociruntime.library.answer import PendingAnswer
    from ociruntime.zygote.client import Exit, Reply


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended.

    code    the exit status as a shell shows it, 128 + n for signal n
    signal  the signal that killed it, 0 if it exited
    ended   when, in UTC
    """

    code: int
    signal: int
    ended: datetime

    @property
    def ok(self) -> bool:
        """Whether it exited with status 0."""
        return self.code == 0


class Process:
    """A process that this program made in a container; a context manager that closes what is ours.

    pid                    as this program sees it; only valid until the process has ended
    pidfd                  of the process, readable when it has ended
    stdin, stdout, stderr  our ends of its pipes, None where PIPE was not asked for
    terminal               descriptor of its terminal's master, -1 without one
    warnings               what was left out or ignored, with the reason
    """

    def __init__(
        self,
        reply: Reply,
        end: PendingAnswer[Exit],
        streams: ProcessStreams,
        terminal: int,
        name: str,
    ) -> None:
        # For what is said of it.
        self.name = name
        result = reply.take()
        self.pid: int = result["pid"]
        self.pidfd = reply.fds[0]
        # It owns the pidfd: an interrupted maker closes it as well, and must not do so twice.
        self._reply = reply
        self.warnings: list[str] = result["warnings"]
        self.stdin = streams.stdin
        self.stdout = streams.stdout
        self.stderr = streams.stderr
        self.terminal = terminal
        self._end = end
        self._talk = Talk(streams)
        self._waiting: set[asyncio.Future[ExitStatus]] = set()
        # Weak: a process that the program has forgotten is closed although it still runs.
        told = weakref.WeakMethod(self._tell)
        end.call(lambda: _call(told()))

    def __del__(self) -> None:
        if hasattr(self, "terminal"):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def exited(self) -> ExitStatus | None:
        """How it ended, None as long as that was not told."""
        return _status(self._end.result()) if self._end.done else None

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for its end; raises ``Timeout`` after ``timeout`` seconds (None: never)."""
        try:
            return _status(self._end.result(arguments.timeout(timeout)))
        except TimeoutError:
            waited_for = f"{self.name}: the end of its process {self.pid}"
            raise Timeout(waited_for, timeout or 0) from None

    async def ended(self) -> ExitStatus:
        """``wait`` for asyncio: any number of tasks, of any number of event loops, may wait."""
        here: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._waiting.add(here)
        try:
            if self._end.done:
                _settle(here, self._end)
            return await here
        finally:
            self._waiting.discard(here)

    def _tell(self) -> None:
        """Wake the tasks that wait; in the thread that reads."""
        for here in self._waiting.copy():
            try:
                here.get_loop().call_soon_threadsafe(_settle, here, self._end)
            except RuntimeError:
                continue  # its loop was closed meanwhile, and with it whoever waited

    def send_signal(self, number: int | str) -> None:
        """Send a signal (``9``, ``signal.SIGKILL`` or ``"KILL"``) to this process and no other.
        Raises ``WrongStatus`` when it has ended.
        """
        wanted = arguments.signal_number(number)
        try:
            signal.pidfd_send_signal(self.pidfd, wanted)
        except ProcessLookupError:
            raise WrongStatus(PROCESS_FINISHED) from None

    def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write ``data`` to its stdin, read its stdout and stderr to their ends, close all three.

        Raises ``Timeout`` after ``timeout`` seconds; the next call goes on then, and returns what
        came before as well.
        """
        try:
            return self._talk.go_on(arguments.data(data), arguments.timeout(timeout))
        except TimeoutError:
            raise Timeout(f"{self.name}: the end of its output", timeout or 0) from None

    def so_far(self) -> tuple[bytes, bytes]:
        """What its stdout and stderr have said up to now, as far as nobody else has read it;
        ``communicate`` returns it as well.
        """
        return self._talk.so_far()

    def close(self) -> None:
        """Close our ends of its streams and the pidfd; the process goes on."""
        close_files(self.stdin, self.stdout, self.stderr)
        self.stdin = self.stdout = self.stderr = None
        self.pidfd = -1
        self._reply.close()
        # Nothing is called in between, so neither a signal's handler nor another thread comes
        # there and closes it a second time: it may be somebody else's by then.
        terminal, self.terminal = self.terminal, -1
        if terminal >= 0:
            os.close(terminal)


def _call(tell: Callable[[], None] | None) -> None:
    if tell is not None:
        tell()


def _status(end: Exit) -> ExitStatus:
    return ExitStatus(end.code, end.signal, datetime.fromtimestamp(end.time / 1e9, UTC))


def _settle(here: asyncio.Future[ExitStatus], end: PendingAnswer[Exit]) -> None:
    if here.done():
        return  # its task was cancelled meanwhile
    error = end.error()
    if error is not None:
        here.set_exception(error)
    else:
        here.set_result(_status(end.result()))

"""A process in a container: the container's own, or one that ``exec`` added."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from ociruntime.errors import PROCESS_FINISHED, WrongStatus
from ociruntime.library.streams import Streams, close_files

if TYPE_CHECKING:
    from ociruntime.library.conversation import Conversation
    from ociruntime.zygote.client import Exit, Reply

PIECE = 65536


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
        conversation: Conversation,
        reply: Reply,
        end: Future[Exit],
        streams: Streams,
        terminal: int,
    ) -> None:
        result = reply.take()
        self.pid: int = result["pid"]
        self.pidfd = reply.fds[0]
        self.warnings: list[str] = result["warnings"]
        self.stdin = streams.stdin
        self.stdout = streams.stdout
        self.stderr = streams.stderr
        self.terminal = terminal
        self._conversation = conversation
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def exited(self) -> ExitStatus | None:
        """How it ended, None as long as that was not told."""
        return _status(self._end.result()) if self._end.done() else None

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for its end; raises ``TimeoutError`` after ``timeout`` seconds (None: never)."""
        return _status(self._conversation.wait(self._end, timeout))

    async def ended(self) -> ExitStatus:
        """``wait`` for asyncio: any number of tasks, of any number of event loops, may wait."""
        self._conversation.read_in_background()
        loop = asyncio.get_running_loop()
        here: asyncio.Future[ExitStatus] = loop.create_future()

        def tell(end: Future[Exit]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, here, end)

        self._end.add_done_callback(tell)
        return await here

    def send_signal(self, number: int) -> None:
        """Send a signal to this process and no other. Raises ``WrongStatus`` when it has ended."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            raise WrongStatus(PROCESS_FINISHED) from None

    def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write ``data`` to its stdin, read its stdout and stderr to their ends, close all three.

        Raises ``TimeoutError`` after ``timeout`` seconds; what was read is lost then.
        """
        return converse(self.stdin, self.stdout, self.stderr, data or b"", timeout)

    def close(self) -> None:
        """Close our ends of its streams and the pidfd; the process goes on."""
        close_files(self.stdin, self.stdout, self.stderr)
        self.stdin = self.stdout = self.stderr = None
        for fd in (self.terminal, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.terminal = self.pidfd = -1


def _status(end: Exit) -> ExitStatus:
    return ExitStatus(end.code, end.signal, datetime.fromtimestamp(end.time / 1e9, UTC))


def _settle(here: asyncio.Future[ExitStatus], end: Future[Exit]) -> None:
    if here.done():
        return  # its task was cancelled meanwhile
    error = end.exception()
    if error is not None:
        here.set_exception(error)
    else:
        here.set_result(_status(end.result()))


def converse(
    stdin: BinaryIO | None,
    stdout: BinaryIO | None,
    stderr: BinaryIO | None,
    data: bytes,
    timeout: float | None,
) -> tuple[bytes, bytes]:
    """What comes out of two pipes while ``data`` goes into a third, each None where there is
    none.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    outputs: dict[BinaryIO, list[bytes]] = {file: [] for file in (stdout, stderr) if file}
    with selectors.DefaultSelector() as selector:
        for file in outputs:
            selector.register(file, selectors.EVENT_READ)
        if stdin is not None:
            os.set_blocking(stdin.fileno(), False)
            selector.register(stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"the process's streams stayed open for {timeout:g} s")
            for key, _ in selector.select(left):
                file = cast("BinaryIO", key.fileobj)
                if file is stdin:
                    data = _write(stdin, data)
                    finished = not data
                else:
                    part = os.read(file.fileno(), PIECE)
                    outputs[file].append(part)
                    finished = not part
                if finished:
                    selector.unregister(file)
                    close_files(file)
    said = [b"".join(outputs[file]) if file else b"" for file in (stdout, stderr)]
    return said[0], said[1]


def _write(stdin: BinaryIO, data: bytes) -> bytes:
    """What is left to write; nothing when nobody reads any more."""
    if not data:
        return b""
    try:
        return data[os.write(stdin.fileno(), data[:PIECE]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""

"""A process in a container, for asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from ociruntime.errors import OciError
from ociruntime.library import arguments
from ociruntime.library.aiostreams import AsyncStreams
from ociruntime.library.aiowait import told, within

if TYPE_CHECKING:
    from ociruntime.library.connection import MakingProcess
    from ociruntime.library.process import ExitStatus, Process


class AsyncProcess:
    """A process that this program made in a container; ``async with`` closes what is ours.

    pid       as this program sees it; only valid until the process has ended
    stdin     an ``asyncio.StreamWriter``, None where PIPE was not asked for
    stdout, stderr  ``asyncio.StreamReader``: ``async for line in process.stdout``
    terminal  descriptor of its terminal's master, -1 without one
    warnings  what was left out or ignored, with the reason
    """

    def __init__(self, process: Process, streams: AsyncStreams) -> None:
        self._process = process
        self._streams = streams
        self.pid = process.pid
        self.terminal = process.terminal
        self.warnings = process.warnings
        self.stdin = streams.stdin
        self.stdout = streams.stdout
        self.stderr = streams.stderr

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    @property
    def exited(self) -> ExitStatus | None:
        """How it ended, None as long as that was not told."""
        return self._process.exited

    async def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for its end; raises ``Timeout`` after ``timeout`` seconds (None: never)."""
        waited_for = f"{self._process.name}: the end of its process {self.pid}"
        seconds = arguments.timeout(timeout)
        return await within(seconds, waited_for, self._process.ended())

    async def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Write ``data`` to its stdin and read its stdout and stderr to their ends.

        Raises ``Timeout`` after ``timeout`` seconds; the next call goes on then, and returns what
        came before as well.
        """
        waited_for = f"{self._process.name}: the end of its output"
        given, seconds = arguments.data(data), arguments.timeout(timeout)
        return await within(seconds, waited_for, self._streams.communicate(given))

    def send_signal(self, number: int | str) -> None:
        """Send a signal to this process and no other. Raises ``WrongStatus`` when it has ended."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Close our ends of its streams and the pidfd; the process goes on."""
        self._streams.close()
        self._process.close()


async def carried_out(making: MakingProcess) -> AsyncProcess:
    """Wait for the process. When the task is cancelled it is taken back, or its container."""
    streams = AsyncStreams()
    try:
        making.send()
        await told(making.answer)
        process = making.finish()
        await streams.take(process)
    except OciError:
        making.abandon()  # nothing was made, so this waits for nothing
        raise
    except BaseException:
        await asyncio.shield(asyncio.to_thread(making.abandon))
        raise
    return AsyncProcess(process, streams)

"""The ends of a process's pipes in an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from ociruntime.library.process import Process

# The longest line that ``async for`` takes (bytes); a pipe is not read further than twice that.
LINE_LIMIT = 1 << 20
PIECE = 1 << 16


class AsyncStreams:
    """Readers and writer of the loop that runs, in place of a process's files."""

    def __init__(self) -> None:
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._heard: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._unsent = b""

    async def take(self, process: Process) -> None:
        """Take the files over from ``process``."""
        try:
            self.stdout = await self._reader(process.stdout)
            self.stderr = await self._reader(process.stderr)
            self.stdin = await self._writer(process.stdin)
        except BaseException:
            self.close()
            raise
        # The transports close them.
        process.stdin = process.stdout = process.stderr = None

    async def communicate(self, data: bytes) -> tuple[bytes, bytes]:
        """Feed stdin and hear stdout and stderr to their ends. Cancelled, the next call goes on."""
        self._unsent += data
        await asyncio.gather(
            self._feed(), self._hear("stdout", self.stdout), self._hear("stderr", self.stderr)
        )
        return b"".join(self._heard["stdout"]), b"".join(self._heard["stderr"])

    def close(self) -> None:
        """Close our ends; what was not written is lost."""
        for transport in self._transports:
            if not isinstance(transport, asyncio.WriteTransport):
                transport.close()
            elif not transport.is_closing() or transport.get_write_buffer_size():
                transport.abort()
        self._transports.clear()

    async def _feed(self) -> None:
        if self.stdin is None:
            return
        try:
            while self._unsent:
                # Written is what the transport has: it goes on with that by itself.
                piece, self._unsent = self._unsent[:PIECE], self._unsent[PIECE:]
                self.stdin.write(piece)
                await self.stdin.drain()
            self.stdin.close()
            await self.stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = b""  # nobody reads any more

    async def _hear(self, name: str, reader: asyncio.StreamReader | None) -> None:
        if reader is not None:
            while piece := await reader.read(PIECE):
                self._heard[name].append(piece)

    async def _reader(self, file: BinaryIO | None) -> asyncio.StreamReader | None:
        if file is None:
            return None
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        self._transports.append(transport)
        return reader

    async def _writer(self, file: BinaryIO | None) -> asyncio.StreamWriter | None:
        if file is None:
            return None
        loop = asyncio.get_running_loop()
        # Only the flow control of this protocol is used.
        idle = asyncio.StreamReader()
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(idle), file
        )
        self._transports.append(transport)
        return asyncio.StreamWriter(transport, protocol, None, loop)

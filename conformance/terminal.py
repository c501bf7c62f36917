"""The caller's side of a terminal: the console socket, and the master that comes through it."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from conformance.runtime import OverdueError


class Master:
    """The master of the container's pseudoterminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def read_until(self, word: str, deadline: float) -> str:
        """Return what was written so far once `word` is in it, or nothing more comes."""
        seen = b""
        while word.encode() not in seen and time.monotonic() < deadline:
            if select.select([self._descriptor], [], [], 0.1)[0]:
                try:
                    seen += os.read(self._descriptor, 4096)
                except OSError:
                    break  # EIO: the other side is closed
        return seen.decode(errors="replace")

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class ConsoleSocket:
    """A listening socket that a runtime sends a terminal's master to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        self._socket.listen(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def receive(self, deadline: float) -> Master:
        """Return the master that was sent; raises OverdueError if none came."""
        self._socket.settimeout(max(min(deadline - time.monotonic(), 10), 0.1))
        try:
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(10)
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
        except TimeoutError:
            raise OverdueError("no terminal came through the console socket") from None
        if not descriptors:
            raise OverdueError("the message on the console socket had no descriptor")
        return Master(descriptors[0])

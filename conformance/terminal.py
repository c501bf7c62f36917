"""The caller's side of a terminal: the console socket, and the master that comes through it."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path
from typing import Self

from conformance.runtime import OverdueError


class ConsoleSocket:
    """A listening socket at `path` that a runtime sends a terminal's master to.

    A context manager. `master` is the descriptor that came last, -1 before. `path` has at most
    107 bytes (unix(7)).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def receive(self, timeout: float) -> int:
        """Return the master that is sent within `timeout` seconds; the one before it is closed.

        Raises OverdueError if none came, or more than it.
        """
        self._socket.settimeout(timeout)
        try:
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(timeout)
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 8)
        except TimeoutError:
            raise OverdueError("no terminal came through the console socket") from None
        if len(descriptors) != 1:
            for descriptor in descriptors:
                os.close(descriptor)
            raise OverdueError(
                f"the message on the console socket had {len(descriptors)} descriptors, "
                "not the master alone"
            )
        self.hang_up()
        self.master = descriptors[0]
        return self.master

    def read(self, timeout: float, until: str | None = None) -> str:
        """Return what comes from the terminal, with line feeds as the ends of its lines: until
        `until` is in it, its last user has closed it, or `timeout` seconds have passed.
        """
        seen = b""
        deadline = time.monotonic() + timeout
        while until is None or until.encode() not in seen:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                break  # EIO: the other side is closed
            if not piece:
                break
            seen += piece
        return seen.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """Close and remove all."""
        self.hang_up()
        self._socket.close()
        self.path.unlink()

    def hang_up(self) -> None:
        """Close the master."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

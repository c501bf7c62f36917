"""The engine's side of --console-socket: a listening socket that receives the terminal's master."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE


class Console:
    """A console socket at `path`; `master` after `receive()` is the terminal's descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)

    def receive(self, timeout: float = PATIENCE) -> int:
        """Accept one connection and return the one descriptor sent; raises TimeoutError."""
        self._listener.settimeout(timeout)
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(timeout)
            _, fds, _, _ = socket.recv_fds(connection, 4096, 8)
        assert len(fds) == 1, f"{len(fds)} descriptors sent instead of the master alone"
        self.master = fds[0]
        return self.master

    def read(self, timeout: float = 5.0) -> str:
        """Return what the container writes until it hangs up, or until `timeout` s have passed."""
        text = b""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # EIO: the last slave was closed
                break
            if not piece:
                break
            text += piece
        return text.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """Close and remove everything."""
        if self.master >= 0:
            os.close(self.master)
        self._listener.close()
        self.path.unlink()


@contextmanager
def console(directory: Path) -> Iterator[Console]:
    """Make a console socket in `directory` (short: a socket's path has at most 107 bytes)."""
    made = Console(directory / "test-console")
    try:
        yield made
    finally:
        made.close()

"""Feeding a process and listening to it at once, as ``subprocess.Popen.communicate`` does."""

from __future__ import annotations

import os
import selectors
import time
from typing import TYPE_CHECKING, BinaryIO, cast

from ociruntime.library.streams import close_files

if TYPE_CHECKING:
    from io import BufferedReader

    from ociruntime.library.streams import ProcessStreams

PIECE = 65536


class Talk:
    """What goes into one pipe and comes out of two others, each of which may be missing.

    Nothing is lost by a timeout: the next call goes on.
    """

    def __init__(self, streams: ProcessStreams) -> None:
        self._stdin = streams.stdin
        self._outputs = [streams.stdout, streams.stderr]
        self._heard: list[list[bytes]] = [[], []]
        self._unsent = b""

    def go_on(self, data: bytes, timeout: float | None) -> tuple[bytes, bytes]:
        """Until all outputs end, and ``data`` is written or nobody reads it; closes the pipes.

        Returns everything that was heard. Raises ``TimeoutError``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._unsent += data
        with selectors.DefaultSelector() as selector:
            for file, heard in zip(self._outputs, self._heard, strict=True):
                if file is not None and not file.closed:
                    selector.register(file, selectors.EVENT_READ, heard)
            if self._stdin is not None and not self._stdin.closed:
                os.set_blocking(self._stdin.fileno(), False)
                selector.register(self._stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"the process's streams stayed open for {timeout:g} s")
                for key, _ in selector.select(left):
                    file = cast("BinaryIO", key.fileobj)
                    if self._write() if file is self._stdin else _read(file, key.data):
                        selector.unregister(file)
                        close_files(file)
        out, errors = (b"".join(heard) for heard in self._heard)
        return out, errors

    def so_far(self) -> tuple[bytes, bytes]:
        """What was heard up to now, and what waits to be; never waits itself."""
        for file, heard in zip(self._outputs, self._heard, strict=True):
            if file is not None and not file.closed:
                os.set_blocking(file.fileno(), False)
                try:
                    # Through the file: what it has read ahead comes first.
                    while part := cast("BufferedReader", file).read1(PIECE):
                        heard.append(part)
                except BlockingIOError:
                    pass  # nothing more is there
                finally:
                    os.set_blocking(file.fileno(), True)
        out, errors = (b"".join(heard) for heard in self._heard)
        return out, errors

    def _write(self) -> bool:
        """Write what the pipe takes; whether that was all."""
        assert self._stdin is not None
        try:
            self._stdin.flush()  # what the program has written itself comes first
            written = os.write(self._stdin.fileno(), self._unsent[:PIECE]) if self._unsent else 0
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True  # nobody reads any more
        self._unsent = self._unsent[written:]
        return not self._unsent


def _read(file: BinaryIO, heard: list[bytes]) -> bool:
    """Read a piece; whether that was the end."""
    part = os.read(file.fileno(), PIECE)
    heard.append(part)
    return not part

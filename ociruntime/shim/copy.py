"""Moves bytes from one descriptor to another inside the loop, without waiting for either.

When the target is full the source is not read any more, so that a container whose reader is slow
waits itself, as on any pipe; nothing is buffered here.
"""

from __future__ import annotations

import errno
from select import EPOLLIN, EPOLLOUT

from ociruntime import hostos as os
from ociruntime.resident.loop import Future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.resident.loop import Loop

SPLICE_F_MOVE, SPLICE_F_NONBLOCK = 1, 2
AT_ONCE = 1 << 20
PIECE = 1 << 16
FULL = (errno.ENOSPC, errno.EDQUOT)


class Ends:
    """What a copy is between; ``done`` when it is over, and both are closed."""

    __slots__ = ("_source", "_target", "done")

    kind: str

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self.done = Future()

    def ends(self) -> dict[str, int]:
        """Both descriptors, by what they are."""
        return {f"{self.kind}.source": self._source, f"{self.kind}.target": self._target}

    def end(self) -> None:
        """It has come to its end."""
        os.close(self._source)
        os.close(self._target)
        self.done.set()


class LocalCopy(Ends):
    """A copy that the loop makes. It owns both descriptors, which must not block."""

    __slots__ = ("_loop",)

    def __init__(self, loop: Loop, source: int, target: int) -> None:
        super().__init__(source, target)
        self._loop = loop

    def close(self) -> None:
        """Stop, whatever is left."""
        if self.done.done:
            return
        self._loop.forget(self._source)
        self._loop.forget(self._target)
        self.end()


class Splice(LocalCopy):
    """Copies pipe to pipe (splice(2)) until the source's end: the reader of the target sees its end
    exactly when everything was written.
    """

    __slots__ = ()

    kind = "splice"

    def __init__(self, loop: Loop, source: int, target: int) -> None:
        super().__init__(loop, source, target)
        loop.watch(source, EPOLLIN, self._move)

    def _move(self, _ready: int) -> None:
        flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK
        try:
            if not os.splice(self._source, self._target, AT_ONCE, flags=flags):
                self.close()
        except BlockingIOError:
            # The source had something: it is the target that is full.
            self._loop.forget(self._source)
            self._loop.watch(self._target, EPOLLOUT, self._resume)
        except OSError:
            self.close()

    def _resume(self, _ready: int) -> None:
        self._loop.forget(self._target)
        self._loop.watch(self._source, EPOLLIN, self._move)


class Pump(LocalCopy):
    """Copies between descriptors that cannot be spliced: terminals, and files opened for appending.

    Takes at most one piece from the source before it is written. What finds no space on the
    target's disk is dropped, and ``full`` called the first time: a program must not end, or wait
    for ever, because its log is full.
    """

    __slots__ = ("_full", "_left")

    kind = "pump"

    def __init__(
        self, loop: Loop, source: int, target: int, full: Callable[[], None] | None = None
    ) -> None:
        super().__init__(loop, source, target)
        self._full = full
        self._left = b""
        loop.watch(source, EPOLLIN, self._read)

    def _read(self, _ready: int) -> None:
        try:
            self._left = os.read(self._source, PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._left = b""
        if not self._left:
            self.close()
            return
        self._loop.forget(self._source)
        self._write(EPOLLOUT)

    def _write(self, _ready: int) -> None:
        try:
            while self._left:
                self._left = self._left[os.write(self._target, self._left) :]
        except BlockingIOError:
            self._loop.watch(self._target, EPOLLOUT, self._write)
            return
        except OSError as error:
            if error.errno not in FULL:
                self.close()
                return
            self._left = b""
            if self._full is not None:
                self._full()
                self._full = None
        self._loop.forget(self._target)
        self._loop.watch(self._source, EPOLLIN, self._read)

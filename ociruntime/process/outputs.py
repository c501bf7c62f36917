"""Pipes between a process and the files that our standard output and error are.

A process may want to open its output again (/dev/stdout), as any log of an image does. A file of
the host is not given away for that, nor opened to somebody (CVE-2026-88265): the process gets a
pipe, which is, and we write to the file.
"""

from __future__ import annotations

from select import POLLIN, poll

from ociruntime import hostos as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.spec.documents import ProcessConfig

STDIN, STDOUT, STDERR = 0, 1, 2
PIECE = 65536
# More than any pipe holds: what a process that stays behind goes on writing is not waited for.
MOST_LEFT = 1 << 20
OVERRIDE = "CAP_DAC_OVERRIDE"
BY_OWNER, BY_OTHERS = 0o200, 0o002


def is_closed_to(fd: int, process: ProcessConfig, owner: int, *, in_userns: bool) -> bool:
    """Whether the regular file ``fd`` cannot be opened for writing by ``process``, whose user the
    host knows as ``owner`` (-1: not known).
    """
    found = os.fstat(fd)
    if found.st_mode & BY_OTHERS or (found.st_uid == owner and found.st_mode & BY_OWNER):
        return False
    effective = (process.get("capabilities") or {}).get("effective") or ()
    return in_userns or owner != 0 or OVERRIDE not in effective


class Outputs:
    """Relays to ``files``, our own descriptors 1 and 2 or one of them; two names of one file have
    one pipe, so that what comes out of both stays in order.
    """

    __slots__ = ("_ends", "_lost", "_problem", "streams")

    def __init__(self, files: list[int]) -> None:
        # reading end -> (our file, writing end)
        self._ends: dict[int, tuple[int, int]] = {}
        self._lost = 0
        self._problem: OSError | None = None
        theirs = {fd: fd for fd in (STDIN, STDOUT, STDERR)}
        made: dict[tuple[int, int], int] = {}
        for fd in files:
            found = os.fstat(fd)
            file = found.st_dev, found.st_ino
            if file not in made:
                readable, writable = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(readable, False)
                self._ends[readable] = fd, writable
                made[file] = writable
            theirs[fd] = made[file]
        # What becomes descriptors 0 to 2 of the process.
        self.streams = tuple(theirs.values())

    def begin(self, poller: poll) -> None:
        """The process has its ends, so that ours would hide the end of its output."""
        for readable, (_, writable) in self._ends.items():
            os.close(writable)
            poller.register(readable, POLLIN)

    def serve(self, poller: poll, fd: int) -> bool:
        """Hand on what came on ``fd``; whether that is one of ours."""
        if fd not in self._ends:
            return False
        if self._move(fd) == 0:
            poller.unregister(fd)
        return True

    def _move(self, fd: int) -> int:
        """How much was there: 0 at the end, -1 for nothing now."""
        try:
            data = os.read(fd, PIECE)
        except BlockingIOError:
            return -1
        size, target = len(data), self._ends[fd][0]
        try:
            while data:
                data = data[os.write(target, data) :]
        except OSError as error:
            self._problem = self._problem or error
            self._lost += len(data)
        return size

    def finish(self, warn: Callable[[str], None]) -> None:
        """Hand on what the process has left behind; ``warn`` of what found no place."""
        for fd in self._ends:
            left = MOST_LEFT
            while left > 0 and (size := self._move(fd)) > 0:
                left -= size
            os.close(fd)
        self._ends.clear()
        if self._problem is not None:
            warn(f"standard output: {self._problem.strerror}; {self._lost} bytes are lost")

"""Memory that a resident process can do without while it waits.

What it has of files (its program, libraries, the start image) is mapped page by page as it is used,
and stays so: seventeen megabytes, which every process that waits would have in common with all
others, and that count as its. And of what it wrote to, a fifth is as before: reference counts go up
and down. Both can be had again from the file in the moment in which they are needed.
"""

from __future__ import annotations

from _struct import pack

from ociruntime import hostos as os
from ociruntime.kernel import _sys

MAPS = "/proc/self/maps"
PIECE = 1 << 16
NONE = -1
NANOSECONDS = 10**9
DELETED = b" (deleted)"


def rest(fd: int, seconds: float) -> None:
    """Give back what can be had again, and wait until ``fd`` is readable, but not longer than so
    many ``seconds`` (negative: for ever). For processes of one thread.
    """
    files: dict[bytes, tuple[int, tuple[bytes, bytes]]] = {}
    try:
        # Code last: with what looks through the rest.
        lines = sorted(_maps(), key=lambda line: b"w" not in line.split(None, 2)[1])
        ranges = b"".join(_range(line, files) for line in lines)
        _sys.rest(ranges, fd, int(seconds * NANOSECONDS) if seconds >= 0 else NONE)
    finally:
        for file, _ in files.values():
            if file != NONE:
                os.close(file)


def _maps() -> list[bytes]:
    try:
        fd = os.open(MAPS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []  # there is no /proc
    try:
        text = b""
        while piece := os.read(fd, PIECE):
            text += piece
        return text.splitlines()
    finally:
        os.close(fd)


def _range(line: bytes, files: dict[bytes, tuple[int, tuple[bytes, bytes]]]) -> bytes:
    """The range (``_sys.rest``) of a line of maps (proc_pid_maps(5)), empty for one that is not of
    a file, or shared.
    """
    words = line.split(None, 5)
    if len(words) < 6 or not words[5].startswith(b"/") or words[1][3:4] != b"p":
        return b""
    begin, end = (int(word, 16) for word in words[0].split(b"-"))
    file = NONE
    if b"w" in words[1] and not words[5].endswith(DELETED):
        if words[5] not in files:
            files[words[5]] = _open(words[5])
        file, identity = files[words[5]]
        if identity != (words[3], words[4]):
            file = NONE  # another file has the name now
    return pack("=QQQq", begin, end, int(words[2], 16), file)


def _open(name: bytes) -> tuple[int, tuple[bytes, bytes]]:
    """A descriptor of the file, or -1, and its device and inode as maps has them."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return NONE, (b"", b"")
    status = os.fstat(fd)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    return fd, (device.encode(), str(status.st_ino).encode())

"""What commands need of the operating system, under the names of Python's ``os``, without its
import.

``os`` brings posixpath, stat and the abstract base classes of containers: two milliseconds, as much
as the core of the interpreter, at every start of the runtime. Everything here is the built-in
``posix`` itself, or a few lines that do what their namesake in ``os`` does for ``str`` paths.
Modules of commands that are not in a hurry import ``os``.
"""

from __future__ import annotations

import posix
from posix import *  # noqa: F403 - the same names as in os

from ociruntime.errors import OciError

ENCODING, ERRORS = "utf-8", "surrogateescape"
S_IFMT, S_IFDIR, S_IFREG, S_IFIFO = 0o170000, 0o040000, 0o100000, 0o010000


def fsencode(name: str) -> bytes:
    """The bytes of a path; arguments and environment came from ``fsdecode``."""
    return name.encode(ENCODING, ERRORS)


def fsdecode(name: bytes) -> str:
    """A path that can be printed, whatever its bytes are."""
    return name.decode(ENCODING, ERRORS)


_exit = posix._exit


def getenv(name: str) -> str | None:
    """A variable of our own environment."""
    value = posix.environ.get(fsencode(name))
    return None if value is None else fsdecode(value)


class path:  # noqa: N801 - the name of os.path
    """The part of posixpath(3) for ``str`` paths."""

    @staticmethod
    def join(first: str, second: str) -> str:
        """``second`` seen from the directory ``first``."""
        if second.startswith("/") or not first:
            return second
        return first + second if first.endswith("/") else f"{first}/{second}"

    @staticmethod
    def split(name: str) -> tuple[str, str]:
        """(directory without its last slash, last component)."""
        head, slash, tail = name.rpartition("/")
        return (head.rstrip("/") or slash), tail

    @staticmethod
    def dirname(name: str) -> str:
        """The directory part, empty for a mere name."""
        return path.split(name)[0]

    @staticmethod
    def basename(name: str) -> str:
        """The last component."""
        return name.rpartition("/")[2]

    @staticmethod
    def normpath(name: str) -> str:
        """Without ``.``, ``..`` and doubled slashes; symlinks are not looked at."""
        root = "/" if name.startswith("/") else ""
        kept: list[str] = []
        for part in name.split("/"):
            if part in ("", "."):
                continue
            if part != "..":
                kept.append(part)
            elif kept and kept[-1] != "..":
                kept.pop()
            elif not root:
                kept.append(part)
        return root + "/".join(kept) or "."

    @staticmethod
    def abspath(name: str) -> str:
        """The normal form, from the current directory; raises ``OciError`` when that is gone."""
        if not name.startswith("/"):
            name = path.join(_current_directory(), name)
        return path.normpath(name)

    @staticmethod
    def isdir(name: str) -> bool:
        """Whether a directory is there, symlinks followed."""
        try:
            return posix.stat(name).st_mode & S_IFMT == S_IFDIR
        except (OSError, ValueError):
            return False

    @staticmethod
    def realpath(name: str) -> str:
        """The name without symlinks of something that exists; raises ``OSError``."""
        fd = posix.open(name, posix.O_PATH | posix.O_CLOEXEC)
        try:
            return posix.readlink(f"/proc/self/fd/{fd}")
        finally:
            posix.close(fd)


def _current_directory() -> str:
    try:
        return posix.getcwd()
    except FileNotFoundError:
        message = "the current directory does not exist any more; change to one that does"
        raise OciError(message) from None


def makedirs(name: str, mode: int) -> None:
    """Make a directory and those above it, with ``mode`` where they are missing."""
    head, tail = path.split(name)
    if tail and head and not path.isdir(head):
        makedirs(head, mode)
    try:
        posix.mkdir(name, mode)
    except FileExistsError:
        if not path.isdir(name):
            raise


def is_fifo(mode: int) -> bool:
    """Whether ``st_mode`` is that of a pipe or FIFO."""
    return mode & S_IFMT == S_IFIFO


def is_regular(mode: int) -> bool:
    """Whether ``st_mode`` is that of a regular file."""
    return mode & S_IFMT == S_IFREG

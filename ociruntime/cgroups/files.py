"""Reading and writing the small files of /proc and of cgroup file systems, always through the
``Kernel`` object.
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# /proc gives no more than a page or so at once.
CHUNK = 8192


def read_fd(kernel: Kernel, fd: int) -> str:
    """Everything from ``fd``'s position to its end; the fd is closed."""
    parts: list[bytes] = []
    try:
        while data := kernel.read(fd, CHUNK):
            parts.append(data)
    finally:
        kernel.close(fd)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def read_path(kernel: Kernel, path: str) -> str:
    """The text of a file of the host; "" when it does not exist."""
    try:
        return read_fd(kernel, kernel.open(path, c.O_RDONLY))
    except FileNotFoundError:
        return ""


def read_file(kernel: Kernel, directory: int, name: str) -> str:
    """The text of ``name`` in the cgroup ``directory`` without the last newline; raises
    ``OSError``.
    """
    return read_fd(kernel, kernel.openat(directory, name, c.O_RDONLY)).rstrip("\n")


def read_optional(kernel: Kernel, directory: int, name: str) -> str:
    """Like ``read_file``, "" when there is no such file or the cgroup is just being removed."""
    try:
        return read_file(kernel, directory, name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ""
        raise


def read_counters(kernel: Kernel, directory: int, name: str) -> str:
    """Like ``read_optional``, by one read(2): the kernel makes the files of a cgroup as one piece
    each, but for cgroup.procs and cgroup.threads, so less than was asked for is the end of them.
    """
    try:
        fd = kernel.openat(directory, name, c.O_RDONLY)
        try:
            text = part = kernel.read(fd, CHUNK)
            while len(part) == CHUNK:
                part = kernel.read(fd, CHUNK)
                text += part
        finally:
            kernel.close(fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ""
        raise
    return text.decode("utf-8", "surrogateescape").rstrip("\n")


def write_file(kernel: Kernel, directory: int, name: str, value: str) -> None:
    """Write ``value`` to ``name`` by one write(2), which the kernel takes or refuses as a whole."""
    fd = kernel.openat(directory, name, c.O_WRONLY)
    try:
        kernel.write(fd, value.encode())
    finally:
        kernel.close(fd)


def number(text: str, default: int) -> int:
    """``text`` as an integer; ``max`` and everything that is not a number are ``default``."""
    try:
        return int(text)
    except ValueError:
        return default

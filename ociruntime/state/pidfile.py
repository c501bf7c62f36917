"""The file of --pid-file: what may be replaced, and what of it is ours to remove."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import StateError

S_IFBLK = 0o060000


def is_special(path: str) -> bool:
    """Whether ``path`` leads to something that must stay what it is; raises ``StateError`` for a
    disk, which nobody means.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    if mode & os.S_IFMT == S_IFBLK:
        raise StateError(f"--pid-file {path}: it is a block device; name a file")
    return not os.is_regular(mode)


def temporary_of(path: str, pid: int) -> str:
    """Where the file is made; short, however long its own name is."""
    return os.path.join(os.path.dirname(path), f".pid-{pid}")


def create_temporary(name: str) -> int:
    """A new file at ``name``, open for writing. What is there already was left by somebody who was
    killed before it got its name: the process with that pid is ours now.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(name, flags, 0o644)
    except FileExistsError:
        os.unlink(name)
        return os.open(name, flags, 0o644)


def write_and_close(fd: int, text: bytes) -> None:
    """Write ``text`` by one write(2)."""
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def remove_pid_file(path: str, pid: int) -> None:
    """Remove what ``create`` made for process ``pid``. A regular file is ours if it has our pid: an
    older one may be another container's.
    """
    for name, texts in ((temporary_of(path, pid), (b"", b"%d" % pid)), (path, (b"%d" % pid,))):
        try:
            if not os.is_regular(os.stat(name, follow_symlinks=False).st_mode):
                continue
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            found = os.read(fd, 32).strip()
        except OSError:
            continue
        finally:
            os.close(fd)
        if found in texts:
            os.unlink(name)

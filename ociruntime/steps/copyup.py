"""tmpcopyup: what the image has at a mount point appears in the new tmpfs.

The tree belongs to the image and may change while it is copied: it is walked by fd, no symlink is
followed, and only regular files, directories and symlinks are copied. A FIFO or device is never
opened.
"""

from __future__ import annotations

from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel, Stat

DEEPEST = 64
NOFOLLOW = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_XDEV
PIECE = 1 << 20


def copy_tree(kernel: Kernel, source: int, target: int, depth: int = 0) -> None:
    """Copy the inside of the directory ``source`` (readable fd) into ``target``; raises
    ``OSError``.
    """
    if depth > DEEPEST:
        return
    for name in kernel.names(source):
        entry = kernel.openat(source, name, c.O_PATH | c.O_NOFOLLOW)
        try:
            stat = kernel.stat(entry)
            if stat.kind == c.S_IFDIR:
                _copy_directory(kernel, source, target, name, stat, depth)
            elif stat.kind == c.S_IFLNK:
                kernel.symlinkat(kernel.readlinkat(entry, ""), target, name)
                kernel.fchownat(target, name, stat.uid, stat.gid)
            elif stat.kind == c.S_IFREG:
                _copy_file(kernel, source, target, name, stat)
        finally:
            kernel.close(entry)


def _copy_directory(
    kernel: Kernel, source: int, target: int, name: str, stat: Stat, depth: int
) -> None:
    kernel.mkdirat(target, name, 0o700)
    child = kernel.openat2(source, name, c.O_RDONLY | c.O_DIRECTORY, NOFOLLOW)
    made = kernel.openat(target, name, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW)
    try:
        copy_tree(kernel, child, made, depth + 1)
        kernel.fchownat(made, "", stat.uid, stat.gid)
        kernel.fchmod(made, stat.mode & 0o7777)
    finally:
        kernel.close(child)
        kernel.close(made)


def _copy_file(kernel: Kernel, source: int, target: int, name: str, stat: Stat) -> None:
    flags = c.O_RDONLY | c.O_NOFOLLOW | c.O_NONBLOCK
    content = kernel.openat2(source, name, flags, NOFOLLOW)
    made = kernel.openat(target, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL, 0o600)
    try:
        if kernel.stat(content).kind != c.S_IFREG:
            return
        while data := kernel.read(content, PIECE):
            kernel.write_all(made, data)
        kernel.fchownat(made, "", stat.uid, stat.gid)
        kernel.fchmod(made, stat.mode & 0o7777)
    finally:
        kernel.close(content)
        kernel.close(made)

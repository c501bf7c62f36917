"""tmpcopyup: what the image has at a mount point appears in the new tmpfs.

The tree belongs to the image and may change while it is copied: it is walked by fd, no symlink is
followed, and nothing but regular files and directories is opened. It may be as deep as a path can
say: there is no recursion, and few levels have open files.

What is copied is the host's memory, so it is bounded, and holes cost nothing.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel, Stat
    from ociruntime.spec.mount_options import CopyBound

NOFOLLOW = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_XDEV
READ = c.O_RDONLY | c.O_DIRECTORY
DEVICES = (c.S_IFCHR, c.S_IFBLK)
# What a filesystem in memory takes for an inode with its name, about, and for content, at least.
ENTRY, PAGE = 1024, 4096
# Of a path (PATH_MAX without its end), and of levels whose descriptors are kept.
LONGEST = 4095
OPEN_LEVELS = 16
REFUSED = {
    errno.ENAMETOOLONG: "... directories are deeper than a path can say",
    errno.EXDEV: "something is mounted; mount that after this",
    errno.ENOSPC: "is more than the new filesystem has room for; give it a larger size=",
}


class _Level:
    """A directory on the way down: its name, the fds (source, target) while they are open, and the
    directories in it that are still to be copied.
    """

    __slots__ = ("fds", "name", "waiting")

    def __init__(self, name: str, fds: tuple[int, ...], waiting: list[str]) -> None:
        self.name = name
        self.fds = fds
        self.waiting = waiting


class _Copy:
    """One copy: the levels from the top to where it is, and what has been copied, in bytes."""

    def __init__(
        self, kernel: Kernel, source: int, target: int, bound: CopyBound | None, copied: int
    ) -> None:
        self.kernel = kernel
        self.tops = source, target
        self.bound = bound
        self.copied = copied
        self.levels: list[_Level] = []

    def run(self) -> None:
        """Copy everything; raises ``OSError`` that names what cannot be copied."""
        try:
            with self.kernel.at_once():
                self._copy_all()
        except OSError as error:
            what = REFUSED.get(error.errno or 0)
            if what is None or error.strerror != os.strerror(error.errno or 0):
                raise
            where = self.path()[:60]
            raise OSError(error.errno, f"tmpcopyup: below the image's {where} {what}") from None
        finally:
            for level in self.levels:
                self._close(level)

    def _copy_all(self) -> None:
        self._enter(".", self.tops)
        while self.levels:
            level = self.levels[-1]
            if level.waiting:
                self._enter(level.waiting.pop(), self._reopened(level))
            else:
                self._close(self.levels.pop())

    def path(self, name: str = "") -> str:
        """Where the copy is, or what ``name`` is there, from the top."""
        parts = [level.name for level in self.levels[1:]]
        return "/".join([*parts, name] if name else parts) or "."

    def _enter(self, name: str, parents: tuple[int, ...]) -> None:
        if len(os.fsencode(self.path(name))) > LONGEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        kernel = self.kernel
        level = _Level(name, (kernel.openat2(parents[0], name, READ, NOFOLLOW),), [])
        self.levels.append(level)
        level.fds += (kernel.openat2(parents[1], name, READ, NOFOLLOW),)
        for entry in kernel.each_name(level.fds[0]):
            if self._copy(level.fds[0], level.fds[1], entry):
                level.waiting.append(entry)
        if len(self.levels) > OPEN_LEVELS:
            self._close(self.levels[-OPEN_LEVELS - 1])

    def _reopened(self, level: _Level) -> tuple[int, ...]:
        if not level.fds:
            path = self.path()
            for top in self.tops:
                level.fds += (self.kernel.openat2(top, path, READ, NOFOLLOW),)
        return level.fds

    def _close(self, level: _Level) -> None:
        for fd in level.fds:
            self.kernel.close(fd)
        level.fds = ()

    def _spend(self, size: int, name: str) -> None:
        """Count ``size`` bytes that ``name`` takes, before it takes them."""
        self.copied += size
        bound = self.bound
        if bound is not None and self.copied > bound.size:
            raise OSError(
                errno.ENOSPC,
                f"tmpcopyup: with {self.path(name)[:60]} of the image {self.copied} bytes would be "
                f"copied into memory, and {bound.name} is {bound.size}",
            )

    def _copy(self, source: int, target: int, name: str) -> bool:
        """Copy one entry of a directory; True for a directory, whose inside is to be copied."""
        kernel = self.kernel
        self._spend(ENTRY, name)
        entry = kernel.openat(source, name, c.O_PATH | c.O_NOFOLLOW)
        try:
            stat = kernel.stat(entry)
            if stat.kind == c.S_IFDIR:
                kernel.mkdirat(target, name, 0o700)
            elif stat.kind == c.S_IFLNK:
                kernel.symlinkat(kernel.readlinkat(entry, ""), target, name)
            elif stat.kind == c.S_IFREG:
                self._copy_file(source, target, name)
            else:
                self._make_node(target, name, stat)
            kernel.fchownat(target, name, stat.uid, stat.gid)
            if stat.kind != c.S_IFLNK:
                # Behind the owner, whose change takes set-user-ID away (chown(2)).
                kernel.fchmodat(target, name, stat.mode & 0o7777)
        finally:
            kernel.close(entry)
        return stat.kind == c.S_IFDIR

    def _make_node(self, target: int, name: str, stat: Stat) -> None:
        """A FIFO, a socket, or a device, which only root of the host may make."""
        number = os.makedev(*stat.rdev) if stat.kind in DEVICES else 0
        try:
            self.kernel.mknodat(target, name, stat.kind | 0o600, number)
        except PermissionError as error:
            what = f"tmpcopyup: the image's {self.path(name)} is a device; nobody may make it here"
            raise OSError(error.errno, what) from None

    def _copy_file(self, source: int, target: int, name: str) -> None:
        kernel = self.kernel
        flags = c.O_RDONLY | c.O_NOFOLLOW | c.O_NONBLOCK
        content = kernel.openat2(source, name, flags, NOFOLLOW)
        made = -1
        try:
            made = kernel.openat(target, name, c.O_WRONLY | c.O_CREAT | c.O_EXCL, 0o600)
            stat = kernel.stat(content)
            if stat.kind != c.S_IFREG:
                return
            # What grows meanwhile is copied as far as it was.
            end = 0
            while (begin := _data(kernel, content, end, stat.size)) < stat.size:
                end = min(kernel.lseek(content, begin, c.SEEK_HOLE), stat.size)
                self._spend(-(-(end - begin) // PAGE) * PAGE, name)
                _copy_piece(kernel, content, made, begin, end)
            kernel.ftruncate(made, stat.size)
        finally:
            kernel.close(content)
            if made >= 0:
                kernel.close(made)


def copy_tree(
    kernel: Kernel, source: int, target: int, bound: CopyBound | None = None, copied: int = 0
) -> int:
    """Copy the inside of the directory ``source`` (readable fd) into ``target``: kinds, modes,
    owners, content and holes.

    Parameters: ``copied`` is what counts towards the ``bound`` already, in bytes. Returns that and
    what this copy took. Raises ``OSError`` that names what cannot be copied.
    """
    copy = _Copy(kernel, source, target, bound, copied)
    copy.run()
    return copy.copied


def _data(kernel: Kernel, fd: int, offset: int, size: int) -> int:
    """Where content begins at or behind ``offset``; ``size`` where none does (lseek(2))."""
    try:
        return kernel.lseek(fd, offset, c.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def _copy_piece(kernel: Kernel, content: int, made: int, begin: int, end: int) -> None:
    kernel.lseek(content, begin, c.SEEK_SET)
    kernel.lseek(made, begin, c.SEEK_SET)
    while begin < end and (sent := kernel.invoke("sendfile", made, content, None, end - begin)):
        begin += sent

"""Paths inside a container: (root fd, relative path), resolved by openat2(2) RESOLVE_IN_ROOT and
never as strings.

Everything below the rootfs is hostile and may change while we look at it. Whatever these functions
return was reached without leaving the root; what they create is created relative to an O_PATH fd of
its parent, one component at a time. A symlink that leads to something missing is read and its
target, with what follows it, resolved from the root again: the kernel never creates through one
(CVE-2019-18837, CVE-2021-30465, CVE-2024-45310, CVE-2025-24965, CVE-2026-41579).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.kernel.kernel import Kernel

    # Makes the last component ``name`` in ``directory``, whose path is the third argument, and
    # remembers it; an O_PATH fd of it, -1 without one.
    Make = Callable[[int, str, str], int]

INSIDE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
# A rename somewhere on the machine during a ".." walk makes openat2 answer EAGAIN; a hostile one
# can do so for long.
RETRIES = 128
# Symlinks to something missing that one path leads through, as many as the kernel follows
# (path_resolution(7)).
SYMLINKS_MAX = 40


class Stub:
    """A file or directory that we made in the rootfs, so that a failing create can take it away
    again.
    """

    __slots__ = ("device", "directory", "ino", "path")

    def __init__(self, path: str, ino: int, device: tuple[int, int], *, directory: bool) -> None:
        self.path = path
        self.ino = ino
        self.device = device
        self.directory = directory


class InRoot:
    """The inside of one rootfs.

    ``made`` collects what was created, in order; ``pinned`` are the procfs and sysfs that we
    attached, by normal path; ``dev`` is the mount id of what we attached at /dev, 0 for nothing.
    Methods take paths as the config gives them (leading ``/`` or not) and
    raise ``OSError``.
    """

    __slots__ = ("dev", "kernel", "made", "pinned", "root")

    def __init__(self, kernel: Kernel, root: int) -> None:
        self.kernel = kernel
        self.root = root
        self.dev = 0
        self.made: list[Stub] = []
        self.pinned: dict[str, InRoot] = {}

    def open(self, path: str, flags: int, extra_resolve: int = 0) -> int:
        """Open an existing object; with O_PATH nothing is touched but the path itself."""
        return self._open(self.root, path, flags, extra_resolve)

    def find(self, path: str) -> int:
        """An O_PATH fd of what ``path`` leads to, symlinks followed inside the root."""
        return self._open(self.root, path, c.O_PATH)

    def pin(self, destination: str, mount: int) -> None:
        """Note that ``mount`` was attached at ``destination``; takes the descriptor.

        A procfs or sysfs is kept: whoever shares the rootfs can rename the directory below it, and
        the mount goes along. Anything else hides what was pinned there.
        """
        place = "/" + "/".join(components(destination))
        if place == "/dev":
            self.dev = self.kernel.stat(mount).mount_id
        self.pinned = {
            path: fd for path, fd in self.pinned.items() if not f"{path}/".startswith(f"{place}/")
        }
        if self.kernel.filesystem(mount) in (c.PROC_SUPER_MAGIC, c.SYSFS_MAGIC):
            self.pinned[place] = InRoot(self.kernel, mount)
        else:
            self.kernel.close(mount)

    def find_pinned(self, path: str) -> int:
        """As ``find``, but what lies below a pinned mount is looked up from there."""
        parts = components(path)
        if ".." not in parts:
            for end in range(len(parts), 0, -1):
                mount = self.pinned.get("/" + "/".join(parts[:end]))
                if mount is not None:
                    return mount.find("/".join(parts[end:]))
        return self.find(path)

    def find_nofollow(self, path: str) -> int:
        """An O_PATH fd of ``path`` itself, a symlink included."""
        return self._open(self.root, path, c.O_PATH | c.O_NOFOLLOW)

    def directory(self, path: str, mode: int = 0o755, *, follow: bool = True) -> int:
        """An O_PATH fd of the directory ``path``; what is missing is created with ``mode``.

        Without ``follow`` a symlink that leads to something missing is an error (ELOOP).
        """
        try:
            return self._open(self.root, path, c.O_PATH | c.O_DIRECTORY)
        except FileNotFoundError:
            return self._make(components(path), None, mode, follow=follow)

    def parent(self, path: str) -> tuple[int, str]:
        """``(O_PATH fd of the parent directory, last component)``; missing parents are created."""
        parts = components(path)
        if not parts or parts[-1] == "..":
            raise OSError(errno.EINVAL, "the path has no last component")
        return self.directory("/".join(parts[:-1])), parts[-1]

    def file(self, path: str, mode: int = 0o644) -> int:
        """An O_PATH fd of the file ``path``; made empty, with its parents, when it is missing."""
        try:
            return self._open(self.root, path, c.O_PATH)
        except FileNotFoundError:
            pass

        def make(directory: int, name: str, path: str) -> int:
            self.kernel.close(self.create(directory, name, mode, path))
            return self.kernel.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)

        return self.node(path, make)

    def itself(self, path: str, *, directory: bool) -> int:
        """An O_PATH fd of ``path`` itself, a symlink included; a directory or an empty file is made
        when there is nothing.
        """
        parent, name = self.parent(path)
        flags = c.O_PATH | c.O_NOFOLLOW | (c.O_DIRECTORY if directory else 0)
        try:
            try:
                return self.kernel.openat(parent, name, flags)
            except FileNotFoundError:
                pass
            if directory:
                self.kernel.mkdirat(parent, name, 0o755)
                self.remember(parent, name, path, directory=True)
            else:
                self.kernel.close(self.create(parent, name, 0o644, path))
            return self.kernel.openat(parent, name, flags)
        finally:
            self.kernel.close(parent)

    def node(self, path: str, make: Make) -> int:
        """Have ``make`` make what ``path`` leads to, and its parents be created; what ``make``
        returned, or an O_PATH fd of what is there already.
        """
        parts = components(path)
        if not parts or parts[-1] == "..":
            raise OSError(errno.EINVAL, "the path has no last component")
        return self._make(parts, make, 0o755)

    def create(self, directory: int, name: str, mode: int, path: str) -> int:
        """Create the file ``name`` in ``directory`` and open it for writing; it must not exist."""
        flags = c.O_CREAT | c.O_EXCL | c.O_NOFOLLOW | c.O_WRONLY
        fd = self.kernel.openat(directory, name, flags, mode)
        self.remember(directory, name, path, directory=False)
        return fd

    def remember(self, parent: int, name: str, path: str, *, directory: bool) -> None:
        """Note that ``name`` was made by us; what cannot be noted is taken away again."""
        try:
            stat = self.kernel.stat(parent, name)
        except OSError:
            self.kernel.unlinkat(parent, name, c.AT_REMOVEDIR if directory else 0)
            raise
        self.made.append(Stub(path, stat.ino, stat.device, directory=directory))

    def _make(self, parts: list[str], make: Make | None, mode: int, *, follow: bool = True) -> int:
        """Make what is missing of the path ``parts``: directories with ``mode``, and the last
        component by ``make`` unless that is to be a directory, too.
        """
        for _ in range(SYMLINKS_MAX):
            here, done = self._longest_prefix(parts)
            if ".." in parts[done:]:
                # As if the missing directories were there, as in runc and crun.
                self.kernel.close(here)
                parts = parts[:done] + without_dots(parts[done:])
                continue
            at, found = self._make_below(here, parts, done, make, mode)
            if isinstance(found, int):
                return found
            if not follow:
                break
            before = [] if found.startswith("/") else parts[:at]
            parts = before + components(found) + parts[at + 1 :]
        raise OSError(errno.ELOOP, "too many levels of symbolic links")

    def _make_below(
        self, here: int, parts: list[str], done: int, make: Make | None, mode: int
    ) -> tuple[int, int | str]:
        """Make the components from ``done`` on, the first one in the directory ``here``, which is
        closed.

        Returns (index, fd of the last one), or (index, target) of a symlink in the way.
        """
        kernel = self.kernel
        at = done
        try:
            for at in range(done, len(parts)):
                name, last = parts[at], at == len(parts) - 1
                try:
                    if last and make is not None:
                        return at, make(here, name, "/".join(parts))
                    kernel.mkdirat(here, name, mode)
                    self.remember(here, name, "/".join(parts[: at + 1]), directory=True)
                except FileExistsError:
                    # It leads to something missing, or another container that shares the rootfs
                    # made it a moment ago.
                    target = self._target(here, name)
                    if target:
                        return at, target
                flags = c.O_PATH | c.O_NOFOLLOW
                flags |= 0 if last and make is not None else c.O_DIRECTORY
                child = kernel.openat(here, name, flags)
                kernel.close(here)
                here = child
            found, here = here, -1
            return at, found
        finally:
            if here >= 0:
                kernel.close(here)

    def _target(self, directory: int, name: str) -> str:
        """Where the symlink ``name`` leads, empty when it is none."""
        try:
            return self.kernel.readlinkat(directory, name)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return ""
            raise

    def _longest_prefix(self, parts: list[str]) -> tuple[int, int]:
        """(O_PATH fd, number of components) of the longest part without the last component that is
        a directory.
        """
        for done in range(len(parts) - 1, 0, -1):
            try:
                path = "/".join(parts[:done])
                return self._open(self.root, path, c.O_PATH | c.O_DIRECTORY), done
            except FileNotFoundError:
                continue
        return self._open(self.root, "/", c.O_PATH | c.O_DIRECTORY), 0

    def _open(self, directory: int, path: str, flags: int, extra: int = 0) -> int:
        for attempt in range(RETRIES):
            try:
                return self.kernel.openat2(directory, path or "/", flags, INSIDE | extra)
            except OSError as error:
                if error.errno != errno.EAGAIN or attempt == RETRIES - 1:
                    raise
        raise AssertionError("unreachable")


def components(path: str) -> list[str]:
    """The components of ``path`` without empty ones and ``.``."""
    return [part for part in path.split("/") if part not in ("", ".")]


def without_dots(missing: list[str]) -> list[str]:
    """``missing``, whose first component does not exist, without the first ``..`` that takes one of
    them back.
    """
    at = missing.index("..")
    return missing[: at - 1] + missing[at + 1 :]


def remove_stubs(kernel: Kernel, root: int, stubs: list[Stub]) -> None:
    """Take away, newest first, what a failed create made in the rootfs; host side, after the
    container's mounts died.

    Only the same inode is removed, and only when it is still an empty file or directory: what
    somebody else put there meanwhile stays.
    """
    for stub in reversed(stubs):
        parent, _, name = stub.path.strip("/").rpartition("/")
        try:
            directory = kernel.openat2(
                root, parent or ".", c.O_PATH | c.O_DIRECTORY, INSIDE
            )
        except OSError:
            continue
        try:
            found = kernel.stat(directory, name)
            same = (found.ino, found.device) == (stub.ino, stub.device)
            empty = found.kind == c.S_IFLNK or (found.size == 0 and found.kind != c.S_IFDIR)
            if same and (stub.directory or empty):
                kernel.unlinkat(directory, name, c.AT_REMOVEDIR if stub.directory else 0)
        except OSError:
            pass  # no longer there, or no longer empty: not ours to remove
        finally:
            kernel.close(directory)

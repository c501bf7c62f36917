"""Paths inside a container: (root fd, relative path), resolved by openat2(2) RESOLVE_IN_ROOT and
never as strings.

Everything below the rootfs is hostile and may change while we look at it. Whatever these functions
return was reached without leaving the root; what they create is created relative to an O_PATH fd of
its parent, one component at a time, and never through a symlink (CVE-2019-18837, CVE-2021-30465,
CVE-2024-45310, CVE-2025-24965, CVE-2026-41579).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

INSIDE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
# A rename somewhere on the machine during a ".." walk makes openat2 answer EAGAIN; a hostile one
# can do so for long.
RETRIES = 128


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
    attached, by normal path. Methods take paths as the config gives them (leading ``/`` or not) and
    raise ``OSError``.
    """

    __slots__ = ("kernel", "made", "pinned", "root")

    def __init__(self, kernel: Kernel, root: int) -> None:
        self.kernel = kernel
        self.root = root
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

    def directory(self, path: str, mode: int = 0o755) -> int:
        """An O_PATH fd of the directory ``path``; missing components are created with ``mode``."""
        try:
            return self._open(self.root, path, c.O_PATH | c.O_DIRECTORY)
        except FileNotFoundError:
            pass
        return self._make_directories(components(path), mode)

    def parent(self, path: str) -> tuple[int, str]:
        """``(O_PATH fd of the parent directory, last component)``; missing parents are created."""
        parts = components(path)
        if not parts or parts[-1] == "..":
            raise OSError(errno.EINVAL, "the path has no last component")
        return self.directory("/".join(parts[:-1])), parts[-1]

    def file(self, path: str, mode: int = 0o644) -> int:
        """An O_PATH fd of the file ``path``; created empty, with its parents, when it is missing.

        An existing last component is followed when it is a symlink that leads to something inside
        the root; one that leads nowhere is an error: nothing is ever created through a symlink.
        """
        try:
            return self._open(self.root, path, c.O_PATH)
        except FileNotFoundError:
            pass
        directory, name = self.parent(path)
        try:
            fd = self.create(directory, name, mode, path)
            self.kernel.close(fd)
            return self._open(directory, name, c.O_PATH | c.O_NOFOLLOW)
        except FileExistsError:
            pass
        finally:
            self.kernel.close(directory)
        try:
            # Another container that shares the rootfs made it first ...
            return self._open(self.root, path, c.O_PATH)
        except FileNotFoundError:
            why = "it is a symlink that leads nowhere; remove it"
            raise OSError(errno.EEXIST, why) from None

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

    def _make_directories(self, parts: list[str], mode: int) -> int:
        """Mkdir -p, resolving the longest existing prefix and then going on component by
        component.
        """
        kernel = self.kernel
        here, done = self._longest_prefix(parts)
        try:
            for at in range(done, len(parts)):
                name = parts[at]
                if name == "..":
                    raise OSError(
                        errno.ENOENT, "'..' behind a directory that does not exist; make it"
                    )
                try:
                    kernel.mkdirat(here, name, mode)
                    self.remember(here, name, "/".join(parts[: at + 1]), directory=True)
                except FileExistsError:
                    # Another container that shares the volume made it first, or it is a dangling
                    # symlink: the open
                    # below accepts a directory only.
                    pass
                child = kernel.openat(here, name, c.O_PATH | c.O_DIRECTORY | c.O_NOFOLLOW)
                kernel.close(here)
                here = child
        except BaseException:
            kernel.close(here)
            raise
        return here

    def _longest_prefix(self, parts: list[str]) -> tuple[int, int]:
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


def remove_stubs(kernel: Kernel, root: int, stubs: list[Stub]) -> None:
    """Take away, newest first, what a failed create made in the rootfs; host side, after the
    container's mounts died.

    Only the same inode is removed, only when it is still an empty file or directory, and never
    through a symlink: what somebody else put there meanwhile stays.
    """
    for stub in reversed(stubs):
        parent, _, name = stub.path.strip("/").rpartition("/")
        try:
            directory = kernel.openat2(
                root, parent or ".", c.O_PATH | c.O_DIRECTORY, INSIDE | c.RESOLVE_NO_SYMLINKS
            )
        except OSError:
            continue
        try:
            found = kernel.stat(directory, name)
            same = (found.ino, found.device) == (stub.ino, stub.device)
            if same and (stub.directory or (found.size == 0 and found.kind != c.S_IFDIR)):
                kernel.unlinkat(directory, name, c.AT_REMOVEDIR if stub.directory else 0)
        except OSError:
            pass  # no longer there, or no longer empty: not ours to remove
        finally:
            kernel.close(directory)

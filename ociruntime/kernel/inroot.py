"""Paths inside a container: (root fd, relative path), resolved by openat2(2) RESOLVE_IN_ROOT and
never as strings.

Everything below the rootfs is hostile and may change while we look at it. Whatever these functions
return was reached without leaving the root; what they create is created relative to an O_PATH fd of
its parent, one component at a time. A symlink that leads to something missing is read and its
target, with what follows it, resolved from the root again: the kernel never creates through one
(CVE-2019-18837, CVE-2021-30465, CVE-2024-45310, CVE-2025-24965, CVE-2026-41579). That is
native/resolve.c; here are its operations.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inside import Explain, Inside
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.kernel.program import Descriptor
    from ociruntime.kernel.stubs import Stub

INSIDE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
# A rename somewhere on the machine during a ".." walk makes openat2 answer EAGAIN; a hostile one
# can do so for long.
RETRIES = 128
DEV = ["dev"]
# As the kernel counts them (path_resolution(7)).
SYMLINKS_MAX = 40
FAKE_PROC = "only a proc filesystem may be mounted on /proc; change the type or the destination"


class InRoot:
    """The inside of one rootfs, as oci-setup sees it.

    ``pinned`` are the procfs and sysfs that we attached, by normal path. Methods take paths as the
    config gives them (leading ``/`` or not); what they return is there when the program has been
    carried out, and what refuses them is the step's error then, as ``explain`` says.
    """

    __slots__ = ("kernel", "pinned", "root")

    def __init__(self, kernel: Inside, root: int) -> None:
        self.kernel = kernel
        self.root = root
        self.pinned: dict[str, int] = {}

    def open(
        self,
        path: str,
        flags: int,
        extra_resolve: int = 0,
        *,
        tolerated: tuple[int, ...] = (),
    ) -> Descriptor:
        """Open an existing object; with O_PATH nothing is touched but the path itself."""
        where = self.root, os.fsencode(path)
        return self.kernel.queue(
            p.OPEN, *where, flags, extra_resolve, opens=True, tolerated=tolerated
        )

    def find(self, path: str, *, tolerated: tuple[int, ...] = ()) -> Descriptor:
        """An O_PATH fd of what ``path`` leads to, symlinks followed inside the root."""
        return self.open(path, c.O_PATH, tolerated=tolerated)

    def pin(self, destination: str, mount: int, *, of_kernel: bool) -> None:
        """Note that ``mount`` was attached at ``destination``; takes the descriptor.

        A procfs or sysfs (``of_kernel``) is kept: whoever shares the rootfs can rename the
        directory below it, and the mount goes along. Anything else hides what was pinned there.
        """
        place = "/" + "/".join(components(destination))
        self.pinned = {
            path: fd for path, fd in self.pinned.items() if not f"{path}/".startswith(f"{place}/")
        }
        if of_kernel:
            self.pinned[place] = mount
        else:
            self.kernel.close(mount)

    def pinned_place(self, path: str) -> tuple[int, bytes]:
        """Where to look ``path`` up, in which root: what lies below a pinned mount, in that one."""
        parts = components(path)
        if ".." not in parts:
            for end in range(len(parts), 0, -1):
                mount = self.pinned.get("/" + "/".join(parts[:end]))
                if mount is not None:
                    return mount, os.fsencode("/".join(parts[end:]))
        return self.root, os.fsencode(path)

    def directory(
        self,
        path: str,
        mode: int = 0o755,
        *,
        making: int = p.FOLLOWS,
        tolerated: tuple[int, ...] = (),
        explain: Explain | None = None,
    ) -> Descriptor:
        """An O_PATH fd of the directory ``path``; what is missing is created with ``mode``.

        With ``making`` NO_SYMLINKS none of its components may be a symlink (ELOOP).
        """
        where = self.root, os.fsencode(path)
        return self.kernel.queue(
            p.DIRECTORY, *where, mode, making, opens=True, tolerated=tolerated, explain=explain
        )

    def parent(self, path: str) -> tuple[Descriptor, str]:
        """``(O_PATH fd of the parent directory, last component)``; missing parents are created."""
        parts = components(path)
        if not parts or parts[-1] == "..":
            raise OSError(errno.EINVAL, "the path has no last component")
        return self.directory("/".join(parts[:-1])), parts[-1]

    def file(self, path: str, mode: int = 0o644) -> Descriptor:
        """An O_PATH fd of the file ``path``; made empty, with its parents, when it is missing."""
        return self.kernel.queue(p.FILE, self.root, os.fsencode(path), mode, opens=True)

    def itself(self, path: str, *, directory: bool, mode: int = 0) -> Descriptor:
        """An O_PATH fd of ``path`` itself, a symlink included; a directory or an empty file is made
        when there is nothing.
        """
        where = self.root, os.fsencode(path)
        mode = mode or (0o755 if directory else 0o644)
        return self.kernel.queue(p.ITSELF, *where, int(directory), mode, opens=True)

    def symlink(
        self, path: str, target: str, how: int = 0, explain: Explain | None = None
    ) -> None:
        """Make a symlink with its parents; what is there stays, unless ``how`` (REPLACES, NEAR)
        has it replaced.
        """
        where = self.root, os.fsencode(path)
        self.kernel.queue(p.SYMLINK, *where, os.fsencode(target), how, explain=explain)

    def attach(self, mount: int, target: Descriptor, what: str, destination: str) -> None:
        """Attach a detached mount onto an O_PATH fd, which is closed; both have these names.

        Only a procfs may lie on /proc, by whatever path the config names it (CVE-2019-16884):
        programs in the container trust what they read there, and masks are laid over it.
        """

        def explain(number: int, value: int, _text: bytes) -> OSError:
            if value == p.FAKE_PROC:
                return OSError(number, FAKE_PROC)
            if value == p.ON_DIRECTORY:
                # The kernel would only say EINVAL; engines look for the words "not a directory".
                text = (
                    f"{what} is not a directory, but {destination} in the rootfs is "
                    "one; mount a directory there, or choose the path of a file"
                )
                return OSError(number, text)
            return OSError(number, os.strerror(number))

        is_dev = int(components(destination) == DEV)
        self.kernel.queue(p.ATTACH, mount, target, self.root, is_dev, explain=explain)
        self.kernel.forget(target)


class HostRoot:
    """A container's root, as the host side looks into it; paths as ``InRoot``'s. Raises
    ``OSError``.
    """

    __slots__ = ("kernel", "root")

    def __init__(self, kernel: Kernel, root: int) -> None:
        self.kernel = kernel
        self.root = root

    def open(self, path: str, flags: int) -> int:
        """Open what ``path`` leads to."""
        return open_inside(self.kernel, self.root, path, flags)

    def find(self, path: str) -> int:
        """An O_PATH fd of it."""
        return self.open(path, c.O_PATH)


def open_inside(
    kernel: Kernel, root: int, path: str, flags: int, extra_resolve: int = 0
) -> int:
    """What ``InRoot.open`` does, for the host side, in a ``root`` of which it has a descriptor."""
    for attempt in range(RETRIES):
        try:
            return kernel.openat2(root, path or "/", flags, INSIDE | extra_resolve)
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

"""A procfs of our own: detached, so nobody can mount over parts of it.

Every write to /proc from inside a container goes through it, and what is opened is proven to lie on
this very procfs (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881).
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inside import Inside
    from ociruntime.kernel.program import Descriptor

# "self" and "thread-self" are symlinks inside procfs, so symlinks stay allowed; magic ones never.
RESOLVE = c.RESOLVE_BENEATH | c.RESOLVE_NO_XDEV | c.RESOLVE_NO_MAGICLINKS
ATTRIBUTES = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC


class PrivateProc:
    """A private view of the proc filesystem of the current pid namespace.

    ``only_pids`` leaves out everything but processes (proc(5) ``subset=pid``): enough for
    attributes of a process, and no sysctl can be reached by mistake.
    """

    __slots__ = ("kernel", "root")

    def __init__(self, kernel: Inside, *, only_pids: bool) -> None:
        self.kernel = kernel
        options = ["subset=pid", "hidepid=ptraceable"] if only_pids else []
        # A user namespace may only mount a new procfs where the host's is fully visible (EPERM):
        # then a detached copy of the host's own, which is still seen before pivot_root, serves as
        # well. Mounts on parts of it are locked in a user namespace, and only the whole tree can be
        # copied (EINVAL else): then RESOLVE_NO_XDEV keeps us from walking into them.
        self.root = root = kernel.new_filesystem(
            "proc",
            "proc",
            options,
            ATTRIBUTES,
            tolerated=(errno.EPERM,),
            skip=2,
            flags=p.ELSE,
        )
        self._copy(root, 0, tolerated=(errno.EINVAL,), skip=1)
        self._copy(root, c.AT_RECURSIVE)
        self._prove(root, "/proc is not a proc filesystem", c.PROC_ROOT_INO)

    def _copy(
        self, into: Descriptor, flags: int, *, tolerated: tuple[int, ...] = (), skip: int = 0
    ) -> None:
        flags |= c.OPEN_TREE_CLONE | c.O_CLOEXEC
        where = c.AT_FDCWD, b"/proc"
        self.kernel.call(
            "open_tree", *where, flags, into=into, tolerated=tolerated, skip=skip, flags=p.ELSE
        )

    def _prove(self, fd: int, otherwise: str, inode: int = 0) -> None:
        def explain(number: int, _value: int, _text: bytes) -> OSError:
            return OSError(number, otherwise)

        self.kernel.queue(p.ON, fd, c.PROC_SUPER_MAGIC, inode, explain=explain)

    def open(self, path: str, flags: int) -> int:
        """Open ``path`` (relative to /proc) on this procfs and on nothing else."""
        fd = self.kernel.openat2(self.root, path, flags | c.O_NOFOLLOW, RESOLVE)
        self._prove(fd, f"/proc/{path} is not on a proc filesystem")
        return fd

    def write(self, path: str, value: str) -> None:
        """Write ``value`` in one write(2)."""
        fd = self.open(path, c.O_WRONLY)
        data = bytearray(os.fsencode(value))
        self.kernel.call("write", fd, data, len(data))
        self.kernel.close(fd)

    def close(self) -> None:
        self.kernel.close(self.root)

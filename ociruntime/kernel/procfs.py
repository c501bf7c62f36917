"""A procfs of our own: detached, so nobody can mount over parts of it.

Every write to /proc from inside a container goes through it, and what is opened is proven to lie on
this very procfs (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel.mountfd import clone_path, new_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# "self" and "thread-self" are symlinks inside procfs, so symlinks stay allowed; magic ones never.
RESOLVE = c.RESOLVE_BENEATH | c.RESOLVE_NO_XDEV | c.RESOLVE_NO_MAGICLINKS
ATTRIBUTES = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC


class PrivateProc:
    """A private view of the proc filesystem of the current pid namespace.

    ``only_pids`` leaves out everything but processes (proc(5) ``subset=pid``): enough for
    attributes of a process, and no sysctl can be reached by mistake. Raises ``OSError``.
    """

    __slots__ = ("kernel", "root")

    def __init__(self, kernel: Kernel, *, only_pids: bool) -> None:
        self.kernel = kernel
        options = ["subset=pid", "hidepid=ptraceable"] if only_pids else []
        try:
            self.root = new_filesystem(kernel, "proc", "proc", options, ATTRIBUTES)
        except OSError as error:
            # A user namespace may only mount a new procfs where the host's is fully visible
            # (EPERM): then a detached
            # copy of the host's own, which init still sees before pivot_root, serves as well.
            if error.errno != errno.EPERM:
                raise
            self.root = _clone_of_the_host(kernel)
        stat = kernel.stat(self.root)
        if kernel.filesystem(self.root) != c.PROC_SUPER_MAGIC or stat.ino != c.PROC_ROOT_INO:
            raise OSError(errno.EXDEV, "/proc is not a proc filesystem")

    def open(self, path: str, flags: int) -> int:
        """Open ``path`` (relative to /proc) on this procfs and on nothing else."""
        fd = self.kernel.openat2(self.root, path, flags | c.O_NOFOLLOW, RESOLVE)
        if self.kernel.filesystem(fd) != c.PROC_SUPER_MAGIC:
            self.kernel.close(fd)
            raise OSError(errno.EXDEV, f"/proc/{path} is not on a proc filesystem")
        return fd

    def write(self, path: str, value: str) -> None:
        """Write ``value`` in one write(2)."""
        fd = self.open(path, c.O_WRONLY)
        try:
            self.kernel.write(fd, value.encode())
        finally:
            self.kernel.close(fd)

    def close(self) -> None:
        self.kernel.close(self.root)


def _clone_of_the_host(kernel: Kernel) -> int:
    """A detached copy of /proc, if the kernel allows it without what is mounted on parts of it.

    In a user namespace such mounts are locked, and only the whole tree can be copied (EINVAL else):
    then RESOLVE_NO_XDEV keeps us from walking into them.
    """
    try:
        return clone_path(kernel, c.AT_FDCWD, "/proc", recursive=False)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return clone_path(kernel, c.AT_FDCWD, "/proc", recursive=True)

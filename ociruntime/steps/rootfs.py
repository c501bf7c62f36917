"""Container side: the root filesystem is attached, made the root, and the host's is let go."""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.kernel.mountfd import clone_fd, null_device
from ociruntime.kernel.mountinfo import mount_points
from ociruntime.process.run import ROOTFS_FD, namespace_fd
from ociruntime.process.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inside import Inside
    from ociruntime.process.run import Run

# Mounts on one place, at most: more than anybody has.
LAYERS = 64

GROUPS_FORBIDDEN = (
    "the user namespace forbids setgroups: the caller's groups stay, and "
    "process.user.additionalGids is not applied"
)


class BecomeRoot(ContainerStep):
    """Be root of the new or joined user namespace, so that what we create belongs to it
    (user_namespaces(7)).
    """

    __slots__ = ("setgroups",)

    kind = "become-root"
    stage = "namespaces"

    def __init__(self, *, setgroups: bool) -> None:
        super().__init__("/linux/uidMappings", "becoming root of the user namespace")
        self.setgroups = setgroups

    def describe(self) -> str:
        return "become uid 0 and gid 0 of the user namespace"

    def execute(self, run: Run) -> None:
        if self.setgroups:
            self._drop_groups(run)
        run.inner.setresgid(0)
        run.inner.setresuid(0)
        # Changing ids made the process dumpable again as /proc/sys/fs/suid_dumpable says.
        run.inner.prctl(c.PR_SET_DUMPABLE, 0)
        # ... and cleared the signal for the death of the host side (prctl(2)).
        run.inner.prctl(c.PR_SET_PDEATHSIG, c.SIGKILL)

    def _drop_groups(self, run: Run) -> None:
        """Give up the caller's groups; a joined namespace may have given up setgroups(2) itself."""

        def denied(_number: int) -> None:
            run.groups_denied = True
            run.warnings.append(GROUPS_FORBIDDEN)

        run.inner.call("setgroups", 0, None, tolerated=(errno.EPERM, errno.EACCES), note=denied)

    def explain(self, number: int) -> str:
        if number == errno.EINVAL:
            return "uid 0 and gid 0 are not mapped; add them to uidMappings and gidMappings"
        return ""


class UnshareIpc(ContainerStep):
    """An IPC namespace of the user namespace's root: its queues' directory, /dev/mqueue, belongs to
    whoever makes it, and a clone into both namespaces is made by a user who is nobody in there.
    """

    __slots__ = ()

    kind = "unshare-ipc"
    stage = "namespaces"

    def __init__(self, pointer: str) -> None:
        super().__init__(pointer, "ipc namespace")

    def describe(self) -> str:
        return "make an IPC namespace that belongs to root of the user namespace"

    def execute(self, run: Run) -> None:
        run.inner.unshare(c.CLONE_NEWIPC)


class UnshareCgroup(ContainerStep):
    """A cgroup namespace rooted at the container's cgroup, which init is in by now
    (cgroup_namespaces(7)).
    """

    __slots__ = ()

    kind = "unshare-cgroup"
    stage = "namespaces"

    def __init__(self, pointer: str) -> None:
        super().__init__(pointer, "cgroup namespace")

    def describe(self) -> str:
        return "make a cgroup namespace rooted at the container's cgroup"

    def execute(self, run: Run) -> None:
        run.inner.unshare(c.CLONE_NEWCGROUP)


class JoinCgroupNamespace(ContainerStep):
    """Enter a cgroup namespace that exists (linux.namespaces, ``exec``).

    Only now, and by init itself: where cgroup2 is mounted with nsdelegate, as systemd does, nobody
    can be cloned into a cgroup from a namespace that does not show his own (ENOENT; cgroup-v2.rst,
    "Delegation Containment").
    """

    __slots__ = ()

    kind = "join-cgroup-namespace"
    stage = "namespaces"

    def __init__(self, pointer: str) -> None:
        super().__init__(pointer, "joining the cgroup namespace")

    def describe(self) -> str:
        return "join the cgroup namespace"

    def execute(self, run: Run) -> None:
        run.inner.setns(run.fds[namespace_fd("cgroup")], c.CLONE_NEWCGROUP)


class AttachRootfs(ContainerStep):
    """Attach the rootfs at its own place in our mount namespace.

    First everything here becomes private: the namespace is a copy, and what happens in it must
    never reach the host. Hooks that enter the namespace find the container's files where the bundle
    says.
    """

    __slots__ = ("path",)

    kind = "attach-rootfs"

    def __init__(self, path: str) -> None:
        super().__init__("/root/path", f"root.path {path}")
        self.path = path

    def describe(self) -> str:
        return (
            "make all mounts of the namespace private and attach the root filesystem at "
            f"{self.path}"
        )

    def execute(self, run: Run) -> None:
        kernel = run.inner
        everything = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
        kernel.mount_setattr(everything, propagation=c.MS_PRIVATE, recursive=True)
        kernel.close(everything)
        target = kernel.open(self.path, c.O_PATH | c.O_DIRECTORY)
        root = run.fds[ROOTFS_FD]
        kernel.move_mount(root, target)
        kernel.close(target)
        run.inroot = InRoot(kernel, root)

    def explain(self, number: int) -> str:
        if number == errno.EACCES:
            return "root of the user namespace may not search a directory above it; chmod o+x it"
        if number == errno.EINVAL:
            return (
                "the caller's own root directory is not a mount point (a chroot?); "
                "mount it on itself first, or enter it by pivot_root"
            )
        return ""


class UseRootfs(ContainerStep):
    """Without a mount namespace of its own the container gets its root by chroot and nothing is
    mounted.
    """

    __slots__ = ("path",)

    kind = "use-rootfs"

    def __init__(self, path: str) -> None:
        super().__init__("/root/path", f"root.path {path}")
        self.path = path

    def describe(self) -> str:
        return f"use {self.path} as the root, without a mount namespace"

    def execute(self, run: Run) -> None:
        root = run.inner.open(self.path, c.O_PATH | c.O_DIRECTORY)
        run.inroot = InRoot(run.inner, root)


class ReadonlyRoot(ContainerStep):
    """root.readonly, on the mount itself and not by path (CVE-2026-115521)."""

    __slots__ = ()

    kind = "readonly-root"

    def __init__(self) -> None:
        super().__init__("/root/readonly", "root.readonly")

    def describe(self) -> str:
        return "make the root filesystem read-only"

    def execute(self, run: Run) -> None:
        run.inner.mount_setattr(run.inside().root, set_=c.MOUNT_ATTR_RDONLY)


class RootPropagation(ContainerStep):
    """linux.rootfsPropagation of the container's root mount (mount_namespaces(7))."""

    __slots__ = ("flags", "name")

    kind = "root-propagation"

    def __init__(self, name: str, flags: int) -> None:
        super().__init__("/linux/rootfsPropagation", f"linux.rootfsPropagation {name}")
        self.name = name
        self.flags = flags

    def describe(self) -> str:
        return f"make the root mount {self.name}"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        recursive = bool(self.flags & c.MS_REC)
        kernel.mount_setattr(
            run.inside().root, propagation=self.flags & ~c.MS_REC, recursive=recursive
        )


class Pivot(ContainerStep):
    """pivot_root(2) into the rootfs and drop the host's tree: afterwards nothing of the host can be
    named.
    """

    __slots__ = ()

    kind = "pivot-root"
    stage = "enter"

    def __init__(self) -> None:
        super().__init__("/root/path", "pivot_root")

    def describe(self) -> str:
        return "pivot_root into the root filesystem and detach the host's"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        old = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
        kernel.fchdir(run.inside().root)
        kernel.pivot_root_here()
        # The old root is mounted over the new one now: through the fd we reach exactly it.
        kernel.fchdir(old)
        kernel.unmount_here()
        kernel.close(old)
        kernel.fchdir(run.inside().root)

    def explain(self, number: int) -> str:
        if number == errno.EINVAL:
            return "the host's root is on a ramdisk; use --no-pivot"
        return ""


class MoveRoot(ContainerStep):
    """--no-pivot: mount the rootfs over / and chroot into it.

    The host's tree stays below the new root, so every procfs and sysfs of the host is unmounted
    or covered, first: through one, a process that breaks out of the chroot would reach the host's
    kernel settings (security.md 2.6, runc's msMoveRoot).
    """

    __slots__ = ("path",)

    kind = "move-root"
    stage = "enter"

    def __init__(self, path: str) -> None:
        super().__init__("/root/path", "--no-pivot")
        self.path = path

    def describe(self) -> str:
        return (
            "unmount the host's procfs and sysfs, move the root filesystem onto / and "
            "chroot into it"
        )

    def execute(self, run: Run) -> None:
        kernel = run.inner
        root = run.inside().root
        for place in host_kernel_filesystems(kernel, self.path):
            take_away(kernel, place)
        top = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
        kernel.fchdir(root)
        kernel.mount_move_here(top)
        kernel.chroot_here()
        kernel.close(top)


class Chroot(ContainerStep):
    """chroot(2) into the rootfs, where there is no mount namespace to pivot in."""

    __slots__ = ()

    kind = "chroot"
    stage = "enter"

    def __init__(self) -> None:
        super().__init__("/root/path", "chroot")

    def describe(self) -> str:
        return "chroot into the root filesystem"

    def execute(self, run: Run) -> None:
        run.inner.fchdir(run.inside().root)
        run.inner.chroot_here()


def host_kernel_filesystems(kernel: Inside, rootfs: str) -> list[str]:
    """Where procfs and sysfs are mounted outside of ``rootfs``. Not named is what goes with
    another, and what lies hidden below the mount that has the rootfs.
    """
    fd = kernel.open("/proc/self/mountinfo", c.O_RDONLY)
    text = kernel.read_whole(fd)
    kernel.close(fd)
    places = mount_points(text.decode("utf-8", "surrogateescape"), ("proc", "sysfs"))
    root = rootfs.rstrip("/") + "/"
    found: list[str] = []
    for place in sorted({f"{place}/" for place in places}):
        if not (place.startswith((root, *found)) or root.startswith(place)):
            found.append(place)
    return [place.rstrip("/") for place in found]


def take_away(kernel: Inside, place: str) -> None:
    """Unmount all that is mounted at ``place``; cover a procfs or sysfs that cannot be unmounted.

    In a user namespace nothing can that came from outside (EINVAL, mount_namespaces(7)), and a
    current directory is never a file (ENOTDIR): nested containers have mounts of single files of
    /proc.
    """
    for _ in range(LAYERS):
        try:
            with kernel.at_once():
                fd = kernel.open(place, c.O_PATH | c.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return  # hidden by another mount
        try:
            with kernel.at_once():
                kernel.fchdir(fd)
                kernel.unmount_here()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM, errno.ENOTDIR):
                raise
            if kernel.filesystem(fd) in (c.PROC_SUPER_MAGIC, c.SYSFS_MAGIC):
                _cover(kernel, fd)
            return
        finally:
            kernel.close(fd)


def _cover(kernel: Inside, fd: int) -> None:
    """Mount over ``fd`` what has nothing in it."""
    if kernel.stat(fd).kind == c.S_IFDIR:
        options = ["ro", "nr_blocks=1", "nr_inodes=1"]
        cover: int = kernel.new_filesystem("tmpfs", "tmpfs", options, c.MOUNT_ATTR_RDONLY)
    else:
        null = null_device(kernel)
        cover = clone_fd(kernel, null, recursive=False)
        kernel.close(null)
    kernel.move_mount(cover, fd)
    kernel.close(cover)

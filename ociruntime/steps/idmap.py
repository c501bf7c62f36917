"""Idmapped mounts: what a filesystem calls uid X appears as uid Y in this mount alone
(config.md#posix-platform-mounts, mount_setattr(2) "ID-mapped mounts").

The kernel takes the mapping from a user namespace, and only for a mount that nobody has seen yet
and a filesystem that the caller controls. So both are made on the host side, and the container gets
the finished, detached mount.
"""

from __future__ import annotations

import errno

from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inside import Inside
from ociruntime.kernel.mountfd import needs_old_mount
from ociruntime.kernel.ocinit import open_program
from ociruntime.kernel.processes import Executable
from ociruntime.process.channel import channel_pair
from ociruntime.process.step import Step
from ociruntime.steps.mounts import (
    KERNEL_FILESYSTEMS,
    NO_FILESYSTEM,
    AttachMount,
    OpenSource,
    find_target,
    make_filesystem,
    touches_of_new,
)
from ociruntime.steps.touches import Touch, Touched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.channel import Channel
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions

    Mapping = tuple[int, int, int]

# linux/magic.h: what an error calls a filesystem, in the words of mount(8).
FILESYSTEMS = {
    0x0187: "autofs",
    0x4D44: "vfat",
    0x6969: "nfs",
    0x9660: "iso9660",
    c.PROC_SUPER_MAGIC: "proc",
    0xEF53: "ext4",
    c.DEVPTS_SUPER_MAGIC: "devpts",
    c.CGROUP_SUPER_MAGIC: "cgroup",
    c.TMPFS_MAGIC: "tmpfs",
    0x01021997: "9p",
    0x19800202: "mqueue",
    0x2FC12FC1: "zfs",
    0x53464846: "wslfs",
    0x58465342: "xfs",
    c.SYSFS_MAGIC: "sysfs",
    c.CGROUP2_SUPER_MAGIC: "cgroup2",
    0x65735546: "fuse",
    0x73717368: "squashfs",
    0x794C7630: "overlay",
    0x9123683E: "btrfs",
    0xE0F5E1E2: "erofs",
    0xFF534D42: "cifs",
}


class MakeIdmap(Step):
    """Make a user namespace with these mappings, kept as ``run.fds[name]`` and otherwise empty."""

    __slots__ = ("gid_maps", "name", "uid_maps")

    kind = "make-idmap"

    def __init__(
        self, pointer: str, label: str, name: str, uid_maps: list[Mapping], gid_maps: list[Mapping]
    ) -> None:
        super().__init__(pointer, label)
        self.name = name
        self.uid_maps = uid_maps
        self.gid_maps = gid_maps

    def describe(self) -> str:
        uids = ", ".join(f"{inside}:{outside}:{size}" for inside, outside, size in self.uid_maps)
        return f"make a user namespace for idmapped mounts (uids {uids})"

    def execute(self, run: Run) -> None:
        run.fds[self.name] = user_namespace(
            run.kernel, self.uid_maps, self.gid_maps, run.connect
        )

    def explain(self, number: int) -> str:
        return {
            errno.ENOSPC: "the limit in /proc/sys/user/max_user_namespaces is reached; raise it",
            errno.EINVAL: "the kernel refuses the ranges; they overlap, or there are more than 340",
            errno.EPERM: "the caller's own user namespace does not have these ids",
        }.get(number, "")


def user_namespace(
    kernel: Kernel,
    uid_maps: list[Mapping],
    gid_maps: list[Mapping],
    connect: Callable[[], tuple[Channel, socket]] = channel_pair,
) -> int:
    """An fd of a new user namespace with these maps. The process that made it, an oci-setup, is
    gone again. ``connect`` as ``Run``'s.
    """
    program = open_program(kernel, "oci-setup")
    channel, there = connect()
    try:
        arguments = [b"oci-setup", b"%d" % there.fileno()]
        fds = sorted((program, there.fileno()))
        pid, pidfd = kernel.start_program(Executable(program, arguments, [], fds))
    except BaseException:
        channel.close()
        kernel.close(program)
        raise
    finally:
        there.close()
    try:
        kernel.close(program)
        inner = Inside(channel, [])
        with inner.at_once():
            inner.unshare(c.CLONE_NEWUSER)
        # Its files of /proc belong to root else, who may lack the capability to look at them.
        inner.prctl(c.PR_SET_DUMPABLE, 1)
        inner.carry_out()
        for kind, maps in (("uid", uid_maps), ("gid", gid_maps)):
            text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in maps)
            fd = kernel.open(f"/proc/{pid}/{kind}_map", c.O_WRONLY)
            try:
                kernel.write(fd, text.encode())
            finally:
                kernel.close(fd)
        return kernel.open(f"/proc/{pid}/ns/user", c.O_RDONLY)
    finally:
        channel.close()
        kernel.wait_pidfd(pidfd)
        kernel.close(pidfd)


def apply_idmap(
    kernel: Kernel, mount: int, userns: int, label: str, *, filesystem: str = "", recursive: bool
) -> None:
    """Idmap the detached ``mount``; ``recursive`` (ridmap) also all mounts below it.

    Raises ``StepError`` that names the filesystem when it is the one that cannot.
    """
    try:
        with kernel.at_once():
            kernel.mount_setattr(mount, set_=c.MOUNT_ATTR_IDMAP, userns=userns, recursive=recursive)
    except OSError as error:
        name = filesystem or filesystem_name(kernel, mount)
        also = ", or one mounted below it," if recursive else ""
        detail = {
            errno.EINVAL: f"the filesystem {name}{also} does not support idmapped mounts on this "
            "kernel; remove idmap, or use another filesystem",
            errno.EPERM: f"the source ({name}){also} is idmapped already, or its filesystem "
            "belongs to another user namespace",
        }.get(error.errno or 0, "")
        raise StepError(label, error.errno or 0, detail) from None


def filesystem_name(kernel: Kernel, fd: int) -> str:
    """What people call the filesystem that ``fd`` is on."""
    magic = kernel.filesystem(fd) & 0xFFFFFFFF
    return FILESYSTEMS.get(magic, f"with magic number {magic:#x}")


class MapIds(Touch):
    """Idmap the mount, by the user namespace that is ``run.fds[idmap]``.

    Parameters: ``label`` begins an error, ``recursive`` as for ``apply_idmap``, ``filesystem`` is
    the name of a new one, "" for another.
    """

    __slots__ = ("filesystem", "idmap", "label", "recursive")

    def __init__(self, label: str, idmap: str, *, recursive: bool, filesystem: str = "") -> None:
        self.label = label
        self.idmap = idmap
        self.recursive = recursive
        self.filesystem = filesystem

    def operands(self) -> dict[str, object]:
        return {"idmap": self.idmap}

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        userns, filesystem = run.fds[self.idmap], self.filesystem
        apply_idmap(
            kernel, mount, userns, self.label, filesystem=filesystem, recursive=self.recursive
        )


class OpenIdmappedSource(OpenSource):
    """The source of a bind mount that has the touch ``MapIds``."""

    __slots__ = ()

    kind = "open-idmapped-source"

    def describe(self) -> str:
        return f"{super().describe()}, idmapped"


class OpenFilesystem(Touched):
    """Make a new filesystem on the host side, detached and idmapped.

    A filesystem that is made inside the container's user namespace has that namespace's ids
    already, and the kernel lets nobody map them once more.
    """

    __slots__ = ("filesystem", "options", "source")

    kind = "open-filesystem"

    def __init__(
        self,
        pointer: str,
        label: str,
        filesystem: str,
        source: str,
        options: MountOptions,
        idmap: str,
    ) -> None:
        touch = MapIds(label, idmap, recursive=False, filesystem=filesystem)
        super().__init__(pointer, label, [touch])
        self.filesystem = filesystem
        self.source = source
        self.options = options

    def describe(self) -> str:
        return f"make an idmapped {self.filesystem}"

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        data = self.options.sb_flags + self.options.data
        if needs_old_mount(self.source, data):
            raise OSError(
                errno.E2BIG, "an option or the source is longer than the 255 bytes of fsconfig(2)"
            )
        mount = make_filesystem(kernel, self.filesystem, self.source, self.options, data)
        run.fds[self.pointer] = mount
        self.finish(run, kernel, mount)

    def explain(self, number: int) -> str:
        if number == errno.ENODEV:
            return NO_FILESYSTEM.format(self.filesystem)
        if number == errno.E2BIG:
            return "shorten it, or remove idmap and the mount's mappings"
        return ""


class AttachFilesystem(AttachMount):
    """Attach what ``OpenFilesystem`` made."""

    __slots__ = ("filesystem",)

    kind = "attach-filesystem"

    def __init__(
        self, pointer: str, label: str, filesystem: str, destination: str, options: MountOptions
    ) -> None:
        super().__init__(pointer, label, destination, options)
        self.touches[:0] = touches_of_new(destination, options)
        self.filesystem = filesystem

    def describe(self) -> str:
        return f"mount the idmapped {self.filesystem} on {self.destination}"

    def execute(self, run: Run) -> None:
        mount = run.fds[self.pointer]
        target = find_target(run.inside(), self.destination, self.options, directory=True)
        of_kernel = self.filesystem in KERNEL_FILESYSTEMS
        self.place(run, mount, target, self.filesystem, of_kernel=of_kernel)

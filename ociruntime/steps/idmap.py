"""Idmapped mounts: what a filesystem calls uid X appears as uid Y in this mount alone
(config.md#posix-platform-mounts, mount_setattr(2) "ID-mapped mounts").

The kernel takes the mapping from a user namespace, and only for a mount that nobody has seen yet
and a filesystem that the caller controls. So both are made on the host side, and the container gets
the finished, detached mount.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot, open_inside
from ociruntime.kernel.inside import Inside
from ociruntime.kernel.mountfd import needs_old_mount
from ociruntime.kernel.ocinit import open_program
from ociruntime.kernel.processes import Executable
from ociruntime.process.channel import channel_pair
from ociruntime.process.step import CONTAINER, ContainerStep, Step
from ociruntime.steps.mounts import (
    NO_FILESYSTEM,
    OpenSource,
    attach,
    copy_image,
    explain_target,
    find_target,
    keep,
    look,
    make_filesystem,
    set_attributes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.channel import Channel
    from ociruntime.process.run import Run
    from ociruntime.steps.mounts import Mount

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


class OpenIdmappedSource(OpenSource):
    """The source of a bind mount, idmapped while nobody has seen the copy."""

    __slots__ = ("idmap",)

    kind = "open-idmapped-source"

    def __init__(self, plain: OpenSource, idmap: str) -> None:
        super().__init__(
            plain.pointer,
            plain.label,
            plain.source,
            plain.destination,
            plain.options,
            plain.propagation,
            plain.side,
            plain.within,
        )
        self.idmap = idmap

    def describe(self) -> str:
        return f"{super().describe()}, idmapped"

    def look_up(self, run: Run, flags: int) -> int:
        """One in the rootfs that is opened ahead of its turn, too, stays in there: the way to it is
        the image's.
        """
        if not self.within or run.inroot is not None:
            return super().look_up(run, flags)
        kernel = run.kernel_of(self.side)
        rootfs = os.path.normpath(self.source).removesuffix(self.within)
        top = kernel.open(rootfs, c.O_PATH | c.O_DIRECTORY)
        try:
            if self.side == CONTAINER:
                return InRoot(run.inner, top).open(self.within, flags)
            return open_inside(kernel, top, self.within, flags)
        finally:
            kernel.close(top)

    def idmap_source(self, run: Run, mount: int) -> None:
        userns = run.fds[self.idmap]
        kernel = run.kernel_of(self.side)
        apply_idmap(kernel, mount, userns, self.label, recursive=self.options.ridmap)


class OpenFilesystem(Step):
    """Make a new filesystem on the host side, detached and idmapped.

    A filesystem that is made inside the container's user namespace has that namespace's ids
    already, and the kernel lets nobody map them once more.
    """

    __slots__ = ("filesystem", "idmap", "options", "source")

    kind = "open-filesystem"

    def __init__(self, mount: Mount, idmap: str) -> None:
        super().__init__(mount.pointer, mount.label)
        self.filesystem = mount.filesystem
        self.source = mount.source
        self.options = mount.options
        self.idmap = idmap

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
        userns = run.fds[self.idmap]
        apply_idmap(kernel, mount, userns, self.label, filesystem=self.filesystem, recursive=False)

    def explain(self, number: int) -> str:
        if number == errno.ENODEV:
            return NO_FILESYSTEM.format(self.filesystem)
        if number == errno.E2BIG:
            return "shorten it, or remove idmap and the mount's mappings"
        return ""


class AttachFilesystem(ContainerStep):
    """Attach what ``OpenFilesystem`` made."""

    __slots__ = ("destination", "filesystem", "kept", "options")

    kind = "attach-filesystem"

    def __init__(self, mount: Mount) -> None:
        super().__init__(mount.pointer, mount.label)
        self.filesystem = mount.filesystem
        self.destination = mount.destination
        self.options = mount.options
        self.kept: list[str] = []  # as ``Mount``'s

    def describe(self) -> str:
        return f"mount the idmapped {self.filesystem} on {self.destination}"

    def execute(self, run: Run) -> None:
        kernel, inroot = run.inner, run.inside()
        mount = run.fds[self.pointer]
        target = find_target(inroot, self.destination, self.options, directory=True)
        if self.options.tmpcopyup:
            copy_image(run, self.destination, mount, self.options)
        set_attributes(kernel, mount, self.options, is_new=True)
        keep(run, mount, self.kept)
        _, of_kernel = look(run, mount)
        names = self.filesystem, self.destination
        attach(inroot, mount, target, names, self.options, of_kernel=of_kernel)

    def explain(self, number: int) -> str:
        return explain_target(number, self.destination)

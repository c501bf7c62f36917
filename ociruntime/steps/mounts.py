"""config.json's mounts, in their order (config.md#mounts).

Every mount is complete while it is detached (``kernel.mountfd``) and is attached to an O_PATH fd
that was resolved inside the rootfs. Where the target is resolved, nothing can be mounted elsewhere
by exchanging a directory for a symlink (CVE-2021-30465, CVE-2024-45310); procfs and sysfs go onto
real directories of the root only (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642).
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot, components, open_inside
from ociruntime.kernel.mountfd import clone_fd, needs_old_mount
from ociruntime.kernel.program import NO_SYMLINKS, Descriptor
from ociruntime.process.run import ROOTFS_FD
from ociruntime.process.step import HOST, ContainerStep
from ociruntime.steps.sourcepath import find_source
from ociruntime.steps.touches import (
    Attributes,
    CopyImage,
    Keep,
    Touch,
    Touched,
    set_propagation,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inside import Inside
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions

# Filesystems whose place decides what our own writes to /proc and /sys reach.
SAME_AS_MS = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
KERNEL_FILESYSTEMS = ("proc", "sysfs")
KERNEL_MAGIC = (c.PROC_SUPER_MAGIC, c.SYSFS_MAGIC)
NO_FILESYSTEM = "the kernel has no filesystem {!r}; correct the type, or load its module"
ROOT_REFUSED = "the container's root itself cannot be a mount point; name it in root.path"


class OpenSource(Touched):
    """Take a detached copy of a bind mount's source, with all its attributes (config.md#mounts).

    It happens on the host side, where the source's path means what the caller means and is what he
    may reach; a caller without privileges over his own mounts has init do it, before anything of
    the container is attached. But a source ``within`` the rootfs, given relative to that, is looked
    up there and when it is its turn: it may lie on an earlier mount, and a symlink on its way is
    the image's. One that has to be opened ahead of its turn stays in there, too.
    """

    __slots__ = ("destination", "options", "side", "source", "within")

    kind = "open-source"

    def __init__(
        self,
        pointer: str,
        label: str,
        source: str,
        destination: str,
        options: MountOptions,
        touches: list[Touch],
        side: str,
        within: str = "",
    ) -> None:
        super().__init__(pointer, label, touches)
        self.source = source
        self.destination = destination
        self.options = options
        self.side = side
        self.within = within

    def describe(self) -> str:
        how = "and everything mounted below it " if self.options.rbind else ""
        where = "in the container's root " if self.within else ""
        return f"open {self.source} {where}{how}as the source of {self.destination}"

    def execute(self, run: Run) -> None:
        kernel, options = run.kernel_of(self.side), self.options
        flags = c.O_PATH | (c.O_NOFOLLOW if options.src_nofollow or options.copy_symlink else 0)
        source = self.look_up(run, flags)
        try:
            run.fds[self.pointer] = mount = clone_fd(kernel, source, recursive=options.rbind)
        finally:
            kernel.close(source)
        self.finish(run, kernel, mount)

    def look_up(self, run: Run, flags: int) -> int:
        """A descriptor of the source."""
        if self.within:
            return self._look_up_within(run, flags)
        if self.side == HOST:
            rootfs = run.fds[ROOTFS_FD]
            plain = run.plain_root
            return find_source(run.kernel, self.source, flags, rootfs, plain_root=plain)
        return run.inner.open(self.source, flags)

    def _look_up_within(self, run: Run, flags: int) -> int:
        if run.inroot is not None:
            return run.inside().open(self.within, flags)
        kernel = run.kernel_of(self.side)
        rootfs = os.path.normpath(self.source).removesuffix(self.within)
        top = kernel.open(rootfs, c.O_PATH | c.O_DIRECTORY)
        try:
            if self.side == HOST:
                return open_inside(kernel, top, self.within, flags)
            return InRoot(run.inner, top).open(self.within, flags)
        finally:
            kernel.close(top)

    def explain(self, number: int) -> str:
        where = "in the container's root" if self.within else "on the host"
        return {
            errno.ENOENT: f"the source {self.source} does not exist {where}; make it",
            errno.EACCES: f"the caller may not reach {self.source}; look at the modes above it",
            errno.EPERM: "binding it needs CAP_SYS_ADMIN; run as root or in a user namespace",
            errno.ELOOP: f"{self.source} leads through too many symlinks or a magic one",
        }.get(number, "")


class AttachMount(Touched, ContainerStep):
    """Finish a mount and attach it at its destination; subclasses say where it comes from."""

    __slots__ = ("destination", "kept", "options")

    def __init__(
        self, pointer: str, label: str, destination: str, options: MountOptions
    ) -> None:
        # The pointers of entries that remount it, for which the mount is kept.
        self.kept: list[str] = []
        super().__init__(pointer, label, [Keep(self.kept)])
        self.destination = destination
        self.options = options

    def place(
        self, run: Run, mount: int, target: Descriptor, name: str, *, of_kernel: bool
    ) -> None:
        """Finish the detached ``mount`` and attach it onto the O_PATH fd ``target``; takes both.

        ``name`` is that of what is mounted; ``of_kernel``: it is a procfs or sysfs.
        """
        inroot = run.inside()
        self.finish(run, inroot.kernel, mount)
        inroot.attach(mount, target, name, self.destination)
        set_propagation(inroot.kernel, mount, self.options)
        inroot.pin(self.destination, mount, of_kernel=of_kernel)

    def explain(self, number: int) -> str:
        return explain_target(number, self.destination)


class BindMount(AttachMount):
    """Attach what ``OpenSource`` took."""

    __slots__ = ("source",)

    kind = "bind-mount"

    def __init__(
        self, pointer: str, label: str, source: str, destination: str, options: MountOptions
    ) -> None:
        super().__init__(pointer, label, destination, options)
        self.source = source

    def describe(self) -> str:
        return f"mount {self.source} on {self.destination}"

    def execute(self, run: Run) -> None:
        inroot = run.inside()
        mount = run.fds[self.pointer]
        kind, of_kernel = look(run, mount)
        if kind == c.S_IFLNK and self.options.copy_symlink:
            copy_symlink(inroot, mount, self.destination)
            run.inner.close(mount)
            return
        is_directory = kind == c.S_IFDIR
        target = find_target(inroot, self.destination, self.options, directory=is_directory)
        self.place(run, mount, target, self.source, of_kernel=of_kernel)


class Mount(AttachMount):
    """Mount a new filesystem."""

    __slots__ = ("filesystem", "source")

    kind = "mount"

    def __init__(
        self,
        pointer: str,
        label: str,
        filesystem: str,
        source: str,
        destination: str,
        options: MountOptions,
    ) -> None:
        super().__init__(pointer, label, destination, options)
        self.touches[:0] = touches_of_new(destination, options)
        self.filesystem = filesystem
        self.source = source

    def describe(self) -> str:
        return f"mount a new {self.filesystem} on {self.destination}"

    def execute(self, run: Run) -> None:
        kernel, inroot, options = run.inner, run.inside(), self.options
        own = options.data
        if self.filesystem == "tmpfs":
            own = own + mode_of_covered(inroot, self.destination, own)
        of_kernel = self.filesystem in KERNEL_FILESYSTEMS
        if of_kernel:
            target = find_kernel_target(inroot, self.destination, self.filesystem)
        else:
            target = find_target(inroot, self.destination, options, directory=True)
        data = options.sb_flags + own
        if needs_old_mount(self.source, data):
            mount = self._make_the_old_way(kernel, target, own)
        else:
            mount = make_filesystem(kernel, self.filesystem, self.source, options, data)
        name = self.source or self.filesystem
        self.place(run, mount, target, name, of_kernel=of_kernel)

    def _make_the_old_way(self, kernel: Inside, target: int, data: list[str]) -> int:
        """As ``make_filesystem``, for values that fsconfig(2) cannot take: mount(2) on the target
        as current directory, and a detached copy of what it made.

        The new mount is found from the descriptor of what it covers, not by its path, which whoever
        shares the rootfs may have led elsewhere by now.
        """
        options = self.options
        # MOUNT_ATTR_RDONLY, NOSUID, NODEV and NOEXEC have the values of their MS_* twins.
        flags = 0 if options.tmpcopyup else options.attr_set & SAME_AS_MS
        if options.tmpcopyup:
            data = [option for option in data if option != "ro"]
        plain = ",".join(map(_quoted, data))
        kernel.fchdir(target)
        kernel.mount_here(self.source or self.filesystem, self.filesystem, flags, plain)
        # ".." of a root directory is itself, or what is mounted on it (path_resolution(7)).
        visible = InRoot(kernel, target).find("..")
        kernel.fchdir(visible)
        mount = clone_fd(kernel, visible, recursive=False)
        kernel.unmount_here()
        kernel.close(visible)
        return mount

    def explain(self, number: int) -> str:
        if number == errno.ENODEV:
            return NO_FILESYSTEM.format(self.filesystem)
        if number == errno.EPERM and self.filesystem == "sysfs":
            return (
                "a new sysfs needs a network namespace of its own; add one, or bind the host's /sys"
            )
        if number == errno.EPERM and self.filesystem == "proc":
            return "a new proc needs a pid namespace of its own and the host's /proc fully visible"
        if number == errno.EPERM:
            return (
                "this filesystem cannot be mounted in a user namespace; mount it on the host and "
                "bind it"
            )
        if number == errno.EBUSY and self.filesystem == "sysfs":
            return (
                "a new sysfs needs a network namespace of its own; add one, or bind the host's /sys"
            )
        return explain_target(number, self.destination)


def touches_of_new(destination: str, options: MountOptions) -> list[Touch]:
    """What every new filesystem gets before it is attached on ``destination``."""
    copied: list[Touch] = [CopyImage(destination, options)] if options.tmpcopyup else []
    return [*copied, Attributes(options, is_new=True)]


def mode_of_covered(inroot: InRoot, destination: str, data: list[str]) -> list[str]:
    """The option ``mode`` for a tmpfs that is not given one: that of the directory it covers, as
    in runc. The kernel's default of 1777 would let anybody write to a /run.
    """
    if any(option.startswith("mode=") for option in data):
        return []
    try:
        with inroot.kernel.at_once():
            covered = inroot.find(destination)
    except FileNotFoundError:  # it is made next
        return []
    try:
        return [f"mode={inroot.kernel.stat(covered).mode & 0o7777:o}"]
    finally:
        inroot.kernel.close(covered)


def _quoted(option: str) -> str:
    """``option`` for mount(2), where the commas of an SELinux context stand between quotes."""
    key, equals, value = option.partition("=")
    return f'{key}="{value}"' if equals and key.endswith("context") and "," in value else option


def make_filesystem(
    kernel: Kernel, filesystem: str, source: str, options: MountOptions, data: list[str]
) -> int:
    """A detached mount of a new filesystem; with tmpcopyup it is writable until
    ``set_attributes``.
    """
    attributes = options.attr_set
    if options.tmpcopyup:
        attributes = 0
        data = [option for option in data if option != "ro"]
    return kernel.new_filesystem(filesystem, source, data, attributes, options.sb_flags_if_known)


def look(run: Run, mount: int) -> tuple[int, bool]:
    """(kind of the root of a source, whether it is a procfs or sysfs); of one that the host side
    has opened it knows by itself.
    """
    kernel = run.kernel if type(mount) is int else run.inner
    return kernel.stat(mount).kind, kernel.filesystem(mount) in KERNEL_MAGIC


def copy_symlink(inroot: InRoot, link: int, destination: str) -> None:
    """The option copy-symlink: make the symlink that the O_PATH fd ``link`` is at ``destination``;
    one that is there must be the same.
    """
    kernel = inroot.kernel
    target = kernel.readlinkat(link, "")
    inroot.symlink(destination, target)
    directory, name = inroot.parent(destination)
    found = kernel.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)
    kernel.close(directory)
    same = kernel.stat(found).kind == c.S_IFLNK and kernel.readlinkat(found, "") == target
    kernel.close(found)
    if not same:
        what = f"{destination} is there already, and no symlink to {target}; remove it"
        raise OSError(errno.EEXIST, what)


def find_target(
    inroot: InRoot, destination: str, options: MountOptions, *, directory: bool
) -> Descriptor:
    """An O_PATH fd of the mount point, created when it is missing."""
    if not components(destination):
        raise OSError(errno.EINVAL, ROOT_REFUSED)
    if options.dest_nofollow:
        return inroot.itself(destination, directory=directory)
    return inroot.directory(destination) if directory else inroot.file(destination)


def find_kernel_target(inroot: InRoot, destination: str, filesystem: str) -> Descriptor:
    """The mount point of a procfs or sysfs: where every component is a directory and none a
    symlink.
    """
    parts = components(destination)
    if not parts:
        raise OSError(errno.EINVAL, ROOT_REFUSED)

    def explain(number: int, _value: int, _text: bytes) -> OSError:
        if number != errno.ELOOP:
            return OSError(number, os.strerror(number))
        what = (
            f"{destination} is a symlink in the rootfs, and {filesystem} is not "
            "mounted through one"
        )
        return OSError(errno.ELOOP, f"{what}; make it a directory")

    return inroot.directory("/".join(parts), making=NO_SYMLINKS, explain=explain)


def explain_target(number: int, destination: str) -> str:
    """What an errno means for the mount point."""
    return {
        errno.ENOTDIR: f"{destination} in the rootfs, or a part of it, is not a directory; "
        "remove it from the image, or choose another destination",
        errno.ELOOP: f"{destination} leads through too many symlinks or a magic one; "
        "name its real path",
        errno.EROFS: f"{destination} does not exist and the filesystem there is read-only; "
        "create it in the image",
        errno.EACCES: f"root of the container may not reach or create {destination}; look at owner "
        "and mode of the rootfs and of what is above it",
    }.get(number, "")

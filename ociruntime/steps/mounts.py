"""config.json's mounts, in their order (config.md#mounts).

Every mount is complete while it is detached (``kernel.mountfd``) and is attached to an O_PATH fd
that was resolved inside the rootfs. Where the target is resolved, nothing can be mounted elsewhere
by exchanging a directory for a symlink (CVE-2021-30465, CVE-2024-45310); procfs and sysfs go onto
real directories of the root only (CVE-2019-19921, CVE-2023-27561, CVE-2023-28642).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot, components
from ociruntime.kernel.mountfd import clone_fd, needs_old_mount, new_filesystem
from ociruntime.plan.step import HOST, ContainerStep, Step
from ociruntime.steps.copyup import copy_tree
from ociruntime.steps.sourcepath import find_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions

# Filesystems whose place decides what our own writes to /proc and /sys reach.
SAME_AS_MS = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
KERNEL_FILESYSTEMS = ("proc", "sysfs")
NO_FILESYSTEM = "the kernel has no filesystem {!r}; correct the type, or load its module"
ROOT_REFUSED = "the container's root itself cannot be a mount point; name it in root.path"


class OpenSource(Step):
    """Take a detached copy of a bind mount's source, with all its attributes (config.md#mounts).

    It happens on the host side, where the source's path means what the caller means and is what he
    may reach; a caller without privileges over his own mounts has init do it, before anything of
    the container is attached. But a source ``within`` the rootfs, given relative to that, is looked
    up there and when it is its turn: it may lie on an earlier mount, and a symlink on its way is
    the image's.
    """

    __slots__ = ("destination", "options", "propagation", "side", "source", "within")

    kind = "open-source"

    def __init__(
        self,
        pointer: str,
        label: str,
        source: str,
        destination: str,
        options: MountOptions,
        propagation: int,
        side: str,
        within: str = "",
    ) -> None:
        super().__init__(pointer, label)
        self.source = source
        self.destination = destination
        self.options = options
        self.propagation = propagation
        self.side = side
        self.within = within

    def describe(self) -> str:
        how = "and everything mounted below it " if self.options.rbind else ""
        where = "in the container's root " if self.within else ""
        return f"open {self.source} {where}{how}as the source of {self.destination}"

    def execute(self, run: Run) -> None:
        kernel, options = run.kernel, self.options
        flags = c.O_PATH | (c.O_NOFOLLOW if options.src_nofollow or options.copy_symlink else 0)
        source = self.look_up(run, flags)
        try:
            run.fds[self.pointer] = mount = clone_fd(kernel, source, recursive=options.rbind)
        finally:
            kernel.close(source)
        if self.propagation:
            kernel.mount_setattr(mount, propagation=self.propagation, recursive=True)
        self.idmap_source(run, mount)
        set_attributes(kernel, mount, options)

    def look_up(self, run: Run, flags: int) -> int:
        """A descriptor of the source."""
        if self.within:
            return run.inside().open(self.within, flags)
        if self.side == HOST:
            rootfs = run.fds["rootfs"]
            plain = run.plain_root
            return find_source(run.kernel, self.source, flags, rootfs, plain_root=plain)
        return run.kernel.open(self.source, flags)

    def idmap_source(self, run: Run, mount: int) -> None:
        """Nothing: ``steps.idmap`` has the sources that are idmapped."""

    def explain(self, number: int) -> str:
        where = "in the container's root" if self.within else "on the host"
        return {
            errno.ENOENT: f"the source {self.source} does not exist {where}; make it",
            errno.EACCES: f"the caller may not reach {self.source}; look at the modes above it",
            errno.EPERM: "binding it needs CAP_SYS_ADMIN; run as root or in a user namespace",
            errno.ELOOP: f"{self.source} leads through too many symlinks or a magic one",
        }.get(number, "")


class BindMount(ContainerStep):
    """Attach what ``OpenSource`` took."""

    __slots__ = ("destination", "kept", "options", "source")

    kind = "bind-mount"

    def __init__(
        self, pointer: str, label: str, source: str, destination: str, options: MountOptions
    ) -> None:
        super().__init__(pointer, label)
        self.source = source
        self.destination = destination
        self.options = options
        self.kept: list[str] = []  # as ``Mount``'s

    def describe(self) -> str:
        return f"mount {self.source} on {self.destination}"

    def execute(self, run: Run) -> None:
        kernel, inroot = run.kernel, run.inside()
        mount = run.fds.pop(self.pointer)
        kind = kernel.stat(mount).kind
        if kind == c.S_IFLNK and self.options.copy_symlink:
            copy_symlink(inroot, mount, self.destination)
            kernel.close(mount)
            return
        is_directory = kind == c.S_IFDIR
        target = find_target(inroot, self.destination, self.options, directory=is_directory)
        try:
            if not is_directory and kernel.stat(target).kind == c.S_IFDIR:
                # The kernel would only say EINVAL; engines look for the words "not a directory".
                raise OSError(
                    errno.EISDIR,
                    f"{self.source} is not a directory, but {self.destination} in the rootfs is "
                    "one; mount a directory there, or choose the path of a file",
                )
            keep(run, mount, self.kept)
            attach(inroot, mount, target, self.destination, self.options)
        finally:
            kernel.close(target)

    def explain(self, number: int) -> str:
        return explain_target(number, self.destination)


class Mount(ContainerStep):
    """Mount a new filesystem."""

    __slots__ = ("destination", "filesystem", "kept", "options", "source")

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
        super().__init__(pointer, label)
        self.filesystem = filesystem
        self.source = source
        self.destination = destination
        self.options = options
        # The pointers of entries that remount it, for which the mount is kept.
        self.kept: list[str] = []

    def describe(self) -> str:
        return f"mount a new {self.filesystem} on {self.destination}"

    def execute(self, run: Run) -> None:
        kernel, inroot, options = run.kernel, run.inside(), self.options
        own = options.data
        if self.filesystem == "tmpfs":
            own = own + mode_of_covered(inroot, self.destination, own)
        if self.filesystem in KERNEL_FILESYSTEMS:
            target = find_kernel_target(inroot, self.destination, self.filesystem)
        else:
            target = find_target(inroot, self.destination, options, directory=True)
        try:
            if needs_old_mount(self.source, options.sb_flags + own):
                mount = self._make_the_old_way(kernel, target, own)
            else:
                mount = self.make(run, options.sb_flags + own)
            if options.tmpcopyup:
                copy_image(run, self.destination, mount, options)
            set_attributes(kernel, mount, options)
            self.keep(run, mount)
            attach(inroot, mount, target, self.destination, options)
        finally:
            kernel.close(target)

    def keep(self, run: Run, mount: int) -> None:
        """Keep descriptors of a mount that is changed later."""
        keep(run, mount, self.kept)

    def make(self, run: Run, data: list[str]) -> int:
        """The detached filesystem with its options ``data``."""
        return make_filesystem(run.kernel, self.filesystem, self.source, self.options, data)

    def _make_the_old_way(self, kernel: Kernel, target: int, data: list[str]) -> int:
        """As ``make``, for values that fsconfig(2) cannot take: mount(2) on the target as current
        directory, and a detached copy of what it made.

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
        try:
            kernel.fchdir(visible)
            mount = clone_fd(kernel, visible, recursive=False)
            kernel.unmount_here()
        finally:
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


def mode_of_covered(inroot: InRoot, destination: str, data: list[str]) -> list[str]:
    """The option ``mode`` for a tmpfs that is not given one: that of the directory it covers, as
    in runc. The kernel's default of 1777 would let anybody write to a /run.
    """
    if any(option.startswith("mode=") for option in data):
        return []
    try:
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
    return new_filesystem(kernel, filesystem, source, data, attributes, options.sb_flags_if_known)


def copy_image(run: Run, destination: str, mount: int, options: MountOptions) -> None:
    """Tmpcopyup: what the image has at ``destination`` appears in the detached ``mount``."""
    image = run.inside().open(destination, c.O_RDONLY | c.O_DIRECTORY)
    try:
        run.copied = copy_tree(run.kernel, image, mount, options.copy_bound, run.copied)
    finally:
        run.kernel.close(image)


def keep(run: Run, mount: int, pointers: list[str]) -> None:
    """Keep a descriptor of ``mount`` for each entry of the config that changes it later: whoever
    shares the rootfs may have moved the place by then.
    """
    for pointer in pointers:
        run.mounts[pointer] = run.kernel.open_tree(mount, "", c.AT_EMPTY_PATH)


def attach(
    inroot: InRoot, mount: int, target: int, destination: str, options: MountOptions
) -> None:
    """Attach the complete, detached ``mount`` onto the O_PATH fd ``target``; takes ``mount``."""
    kernel = inroot.kernel
    try:
        refuse_fake_proc(kernel, inroot, target, mount)
        kernel.move_mount(mount, target)
        set_propagation(kernel, mount, options)
    except BaseException:
        kernel.close(mount)
        raise
    inroot.pin(destination, mount)


def copy_symlink(inroot: InRoot, link: int, destination: str) -> None:
    """The option copy-symlink: make the symlink that the O_PATH fd ``link`` is at ``destination``;
    one that is there must be the same.
    """
    kernel = inroot.kernel
    target = kernel.readlinkat(link, "")
    directory, name = inroot.parent(destination)
    try:
        kernel.symlinkat(target, directory, name)
        inroot.remember(directory, name, destination, directory=False)
    except FileExistsError:
        found = kernel.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)
        same = kernel.stat(found).kind == c.S_IFLNK and kernel.readlinkat(found, "") == target
        kernel.close(found)
        if not same:
            what = f"{destination} is there already, and no symlink to {target}; remove it"
            raise OSError(errno.EEXIST, what) from None
    finally:
        kernel.close(directory)


def set_attributes(
    kernel: Kernel, mount: int, options: MountOptions, set_: int | None = None
) -> None:
    """The mount's own attributes, ``set_`` in place of the options', then those for the whole
    tree.
    """
    set_ = options.attr_set if set_ is None else set_
    clear = options.attr_clr
    if options.atime_undone and options.atime_undone & kernel.access_time(mount):
        clear |= c.MOUNT_ATTR__ATIME  # relatime, the kernel's default
    if set_ or clear:
        kernel.mount_setattr(mount, set_=set_, clear=clear)
    if options.recursive_set or options.recursive_clr:
        kernel.mount_setattr(
            mount, set_=options.recursive_set, clear=options.recursive_clr, recursive=True
        )


def set_propagation(kernel: Kernel, mount: int, options: MountOptions) -> None:
    """Each propagation type that was asked for, in order (config.md#mounts,
    mount_namespaces(7)).
    """
    for flags in options.propagation:
        recursive = bool(flags & c.MS_REC)
        kernel.mount_setattr(mount, propagation=flags & ~c.MS_REC, recursive=recursive)


def find_target(
    inroot: InRoot, destination: str, options: MountOptions, *, directory: bool
) -> int:
    """An O_PATH fd of the mount point, created when it is missing."""
    if not components(destination):
        raise OSError(errno.EINVAL, ROOT_REFUSED)
    if options.dest_nofollow:
        return inroot.itself(destination, directory=directory)
    return inroot.directory(destination) if directory else inroot.file(destination)


def find_kernel_target(inroot: InRoot, destination: str, filesystem: str) -> int:
    """The mount point of a procfs or sysfs: where every component is a directory and none a
    symlink.
    """
    parts = components(destination)
    if not parts:
        raise OSError(errno.EINVAL, ROOT_REFUSED)
    try:
        flags = c.O_PATH | c.O_DIRECTORY
        return inroot.open("/".join(parts), flags, c.RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        return inroot.directory(destination, follow=False)
    except OSError as error:
        if error.errno == errno.ELOOP:
            what = (
                f"{destination} is a symlink in the rootfs, and {filesystem} is not "
                "mounted through one"
            )
            raise OSError(errno.ELOOP, f"{what}; make it a directory") from None
        raise


def refuse_fake_proc(kernel: Kernel, inroot: InRoot, target: int, mount: int) -> None:
    """Only a procfs may lie on /proc, by whatever path the config names it (CVE-2019-16884).

    Programs in the container trust what they read there, and masks are laid over it.
    """
    if kernel.filesystem(mount) == c.PROC_SUPER_MAGIC:
        return
    try:
        proc = inroot.find_nofollow("/proc")
    except FileNotFoundError:
        return
    here, there = kernel.stat(target), kernel.stat(proc)
    kernel.close(proc)
    if (here.ino, here.device) == (there.ino, there.device):
        raise OSError(
            errno.EINVAL,
            "only a proc filesystem may be mounted on /proc; change the type or the destination",
        )


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

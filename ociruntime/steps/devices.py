"""/dev: the default devices, linux.devices and the default symlinks
(config-linux.md#default-devices).

All of it happens on a directory fd below the container's root. A /dev that is a symlink, or
anything in it that is one, leads to nothing outside (CVE-2026-41579); and no node is ever made
where something else already is. In a user namespace, where mknod(2) is forbidden, devices are bind
mounts: of what ``steps.devicenodes`` made on the host side, else of the host's own.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import components
from ociruntime.kernel.mountfd import clone_fd
from ociruntime.plan.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel, Stat
    from ociruntime.process.run import Run

# In ``Run.mounts``: the tmpfs with the nodes of ``steps.devicenodes``.
NODES = "device-nodes"
# Of a bound device: it is no program, and stays none when it is exchanged on the host.
BOUND = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC
DEV = ["dev"]
ELSEWHERE = (
    "{} in the image is a symlink to /{}, or below one, which is on another mount; no device is "
    "made there: remove it from the image"
)


class Device:
    """One node: absolute ``path``, S_IF* ``kind``, numbers, permission bits, owner inside the
    container.
    """

    __slots__ = ("gid", "kind", "major", "minor", "mode", "path", "uid")

    def __init__(
        self, path: str, kind: int, major: int, minor: int, mode: int, uid: int, gid: int
    ) -> None:
        self.path = path
        self.kind = kind
        self.major = major
        self.minor = minor
        self.mode = mode
        self.uid = uid
        self.gid = gid

    def named(self) -> str:
        """``character device 1:3``."""
        if self.kind == c.S_IFIFO:
            return "a FIFO"
        kind = "block" if self.kind == c.S_IFBLK else "character"
        return f"{kind} device {self.major}:{self.minor}"


class CheckDev(ContainerStep):
    """A /dev that is a symlink in the image leads to no volume of the host's: devices, links and
    the console would be made, and the image's ptmx removed, in there (CVE-2026-41579).
    """

    __slots__ = ()

    kind = "check-dev"

    def __init__(self) -> None:
        super().__init__("", "/dev")

    def describe(self) -> str:
        return "look where /dev is"

    def execute(self, run: Run) -> None:
        kernel, inroot = run.kernel, run.inside()
        try:
            plain = inroot.open("/dev", c.O_PATH | c.O_DIRECTORY, c.RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            return  # it is made in the root
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        else:
            kernel.close(plain)
            return
        dev = inroot.directory("/dev")
        here = kernel.stat(dev).mount_id
        kernel.close(dev)
        if here not in (kernel.stat(inroot.root).mount_id, inroot.dev):
            raise OSError(
                errno.EXDEV,
                "it is a symlink in the image to a directory on another mount; no device is made "
                "there: remove it from the image, or mount a tmpfs on /dev",
            )


class MakeDevice(ContainerStep):
    """Make one device node, or bind one where a user namespace forbids mknod(2).

    A device that the image or a mount has already is left alone when it is that device; an existing
    file that is not the device is an error [MUST], but an empty file is a place to bind on.
    ``node`` is the name of what to bind among the nodes made on the host side, empty for the
    host's own device.
    """

    __slots__ = ("bind", "device", "node")

    kind = "make-device"

    def __init__(self, pointer: str, device: Device, *, bind: bool) -> None:
        super().__init__(pointer, f"device {device.path}")
        self.device = device
        self.bind = bind
        self.node = ""

    def describe(self) -> str:
        how = "bind the host's" if self.bind else "make the"
        return f"{how} device {self.device.path}"

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        make = self._place if self.bind else self._make
        target = run.inside().node(self.device.path, lambda *place: make(run, *place))
        if target < 0:
            return
        try:
            found = kernel.stat(target)
            if self._is_device(found):
                return
            if not self.bind or found.kind != c.S_IFREG or found.size:
                raise OSError(
                    errno.EEXIST,
                    f"{self.device.path} exists in the container and is not "
                    f"{self.device.named()}; remove it from the image, or mount a tmpfs over it",
                )
            self._bind(run, target)
        finally:
            kernel.close(target)

    def _make(self, run: Run, directory: int, name: str, path: str) -> int:
        device = self.device
        self._refuse_elsewhere(run, directory, path)
        number = os.makedev(device.major, device.minor)
        run.kernel.mknodat(directory, name, device.kind | device.mode, number)
        run.inside().remember(directory, name, path, directory=False)
        if device.uid or device.gid:
            run.kernel.fchownat(directory, name, device.uid, device.gid)
        return -1

    def _place(self, run: Run, directory: int, name: str, path: str) -> int:
        """An empty file to bind on."""
        self._refuse_elsewhere(run, directory, path)
        run.kernel.close(run.inside().create(directory, name, 0o666, path))
        return run.kernel.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)

    def _refuse_elsewhere(self, run: Run, directory: int, path: str) -> None:
        """A symlink of the image chooses no volume of the host's to make the node in.

        ``directory`` may be on the mount that the path leads to without symlinks, on the root, and
        on what the config mounts on /dev.
        """
        parts = components(path)
        # In the order of the config, or with its `..` taken out: no dangling symlink has led there.
        as_configured = parts in (
            components(self.device.path),
            components(os.path.normpath(self.device.path)),
        )
        if as_configured and parts[:-1] == DEV:
            return  # ``CheckDev`` has looked
        kernel, inroot = run.kernel, run.inside()
        here = kernel.stat(directory).mount_id
        if here in (kernel.stat(inroot.root).mount_id, inroot.dev):
            return
        parts = components(self.device.path)[:-1]
        while True:
            try:
                flags = c.O_PATH | c.O_DIRECTORY
                plain = inroot.open("/".join(parts), flags, c.RESOLVE_NO_SYMLINKS)
                break
            except OSError:  # the root itself, at last, is no symlink and is there
                parts.pop()
        same = kernel.stat(plain).mount_id == here
        kernel.close(plain)
        if not same:
            raise OSError(errno.EXDEV, ELSEWHERE.format(self.device.path, path))

    def _is_device(self, found: Stat) -> bool:
        device = self.device
        if device.kind == c.S_IFIFO:
            return found.kind == c.S_IFIFO
        return found.is_device(device.kind, device.major, device.minor)

    def _bind(self, run: Run, target: int) -> None:
        kernel = run.kernel
        if self.node and NODES in run.mounts:
            mount = kernel.open_tree(run.mounts[NODES], self.node, c.OPEN_TREE_CLONE)
        else:
            mount = self._take_hosts(kernel)
        kernel.mount_setattr(mount, set_=BOUND, propagation=c.MS_PRIVATE)
        kernel.move_mount(mount, target)
        kernel.close(mount)

    def _take_hosts(self, kernel: Kernel) -> int:
        device = self.device
        source = kernel.open(device.path, c.O_PATH | c.O_NOFOLLOW)
        try:
            if not self._is_device(kernel.stat(source)):
                raise OSError(
                    errno.ENODEV,
                    f"{device.path} of the host, which is to be bound, is not {device.named()}; "
                    "correct the path, type or numbers",
                )
            return clone_fd(kernel, source, recursive=False)
        finally:
            kernel.close(source)

    def explain(self, number: int) -> str:
        if number == errno.EPERM:
            return (
                "mknod(2) needs CAP_MKNOD; in a user namespace only devices of the host "
                "can be bound"
            )
        if number == errno.ENOENT and self.bind:
            return f"the host has no {self.device.path} to bind; remove it from linux.devices"
        return ""


class MakeSymlink(ContainerStep):
    """One of the symlinks that the specification wants in /dev; an existing entry stays, but see
    ``ptmx``.
    """

    __slots__ = ("path", "replace", "target")

    kind = "make-symlink"

    def __init__(self, path: str, target: str, *, replace: bool) -> None:
        super().__init__("", f"symlink {path}")
        self.path = path
        self.target = target
        self.replace = replace

    def describe(self) -> str:
        return f"make the symlink {self.path} to {self.target}"

    def execute(self, run: Run) -> None:
        kernel, inroot = run.kernel, run.inside()
        directory, name = inroot.parent(self.path)
        try:
            if self.replace:
                self._remove(run, directory, name)
            kernel.symlinkat(self.target, directory, name)
            inroot.remember(directory, name, self.path, directory=False)
        except FileExistsError:
            pass
        finally:
            kernel.close(directory)

    def _remove(self, run: Run, directory: int, name: str) -> None:
        """Take the image's ptmx away: a node would open the *host's* terminals."""
        try:
            if run.kernel.readlinkat(directory, name) == self.target:
                return
        except OSError:
            pass
        try:
            run.kernel.unlinkat(directory, name)
        except FileNotFoundError:
            pass

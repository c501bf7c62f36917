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
        if self.bind:
            target = run.inside().file(self.device.path, 0o666)
        else:
            target = run.inside().node(self.device.path, lambda *place: self._make(run, *place))
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
        # As the config has it, or with its `..` taken out: no symlink has led there.
        if components(path) not in (
            components(device.path),
            components(os.path.normpath(device.path)),
        ):
            self._refuse_elsewhere(run, directory, path)
        number = os.makedev(device.major, device.minor)
        run.kernel.mknodat(directory, name, device.kind | device.mode, number)
        run.inside().remember(directory, name, path, directory=False)
        if device.uid or device.gid:
            run.kernel.fchownat(directory, name, device.uid, device.gid)
        return -1

    def _refuse_elsewhere(self, run: Run, directory: int, path: str) -> None:
        """A symlink of the image chooses no volume of the host's to make the node in."""
        kernel = run.kernel
        try:
            parent = run.inside().find(self.device.path.rpartition("/")[0])
        except FileNotFoundError:
            same = False  # behind a missing directory, a symlink and a `..`
        else:
            same = kernel.stat(parent).mount_id == kernel.stat(directory).mount_id
            kernel.close(parent)
        if not same:
            raise OSError(
                errno.EXDEV,
                f"{self.device.path} in the image is a symlink to /{path}, which is on another "
                "mount; no device is made there: remove it from the image",
            )

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

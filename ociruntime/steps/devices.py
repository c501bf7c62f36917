"""/dev: the default devices, linux.devices and the default symlinks
(config-linux.md#default-devices).

All of it happens on a directory fd below the container's root. A /dev that is a symlink, or
anything in it that is one, leads to nothing outside (CVE-2026-41579); and no node is ever made
where something else already is.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.mountfd import clone_fd
from ociruntime.plan.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run


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
    """Make one device node, or bind the host's where a user namespace forbids mknod(2).

    ``default`` devices that the image or a mount has already are left alone when they are that
    device; an existing file that is not the device is an error [MUST].
    """

    __slots__ = ("bind", "device")

    kind = "make-device"

    def __init__(self, pointer: str, device: Device, *, bind: bool) -> None:
        super().__init__(pointer, f"device {device.path}")
        self.device = device
        self.bind = bind

    def describe(self) -> str:
        how = "bind the host's" if self.bind else "make the"
        return f"{how} device {self.device.path}"

    def execute(self, run: Run) -> None:
        kernel, inroot, device = run.kernel, run.inside(), self.device
        directory, name = inroot.parent(device.path)
        try:
            if self._is_there(run, directory, name):
                return
            if self.bind:
                self._bind(run, directory, name)
                return
            number = os.makedev(device.major, device.minor)
            kernel.mknodat(directory, name, device.kind | device.mode, number)
            inroot.remember(directory, name, device.path, directory=False)
            if device.uid or device.gid:
                kernel.fchownat(directory, name, device.uid, device.gid)
        finally:
            kernel.close(directory)

    def _is_there(self, run: Run, directory: int, name: str) -> bool:
        device = self.device
        try:
            found = run.kernel.stat(directory, name)
        except FileNotFoundError:
            return False
        if device.kind == c.S_IFIFO and found.kind == c.S_IFIFO:
            return True
        if found.is_device(device.kind, device.major, device.minor):
            return True
        raise OSError(
            errno.EEXIST,
            f"{device.path} exists in the container and is not {device.named()}; remove it from "
            "the image, or mount a tmpfs over it",
        )

    def _bind(self, run: Run, directory: int, name: str) -> None:
        kernel, device = run.kernel, self.device
        source = kernel.open(device.path, c.O_PATH | c.O_NOFOLLOW)
        if not kernel.stat(source).is_device(device.kind, device.major, device.minor):
            raise OSError(
                errno.ENODEV,
                f"{device.path} of the host, which is to be bound, is not {device.named()}; "
                "correct the path, type or numbers",
            )
        mount = clone_fd(kernel, source, recursive=False)
        kernel.close(source)
        kernel.close(run.inside().create(directory, name, 0o666, device.path))
        target = kernel.openat(directory, name, c.O_PATH | c.O_NOFOLLOW)
        kernel.move_mount(mount, target)
        kernel.close(target)
        kernel.close(mount)

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

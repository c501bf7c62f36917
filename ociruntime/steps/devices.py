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
from ociruntime.kernel import program as p
from ociruntime.kernel.inroot import components
from ociruntime.kernel.mountfd import clone_fd
from ociruntime.process.run import NODES_FD
from ociruntime.process.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inside import Inside
    from ociruntime.kernel.program import Descriptor
    from ociruntime.process.run import Run

# In ``Run.mounts``: the tmpfs with the nodes of ``steps.devicenodes``.
# Of a bound device: it is no program, and stays none when it is exchanged on the host.
BOUND = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC
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
        run.inner.queue(p.DEV, run.inside().root, explain=self._refused)

    def _refused(self, number: int, _value: int, _text: bytes) -> OSError:
        if number != errno.EXDEV:
            return OSError(number, os.strerror(number))
        return OSError(
            number,
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
        if self.bind:
            self._bind(run)
            return
        device = self.device
        number = os.makedev(device.major, device.minor)
        self._make(run, device.kind | device.mode, number, device.uid, device.gid)

    def _make(self, run: Run, *what: int, opens: bool = False) -> Descriptor:
        path = self.device.path
        return run.inner.queue(
            p.DEVICE,
            run.inside().root,
            os.fsencode(path),
            os.fsencode("/".join(components(path))),
            *what,
            opens=opens,
            explain=self._refused,
        )

    def _refused(self, number: int, why: int, place: bytes) -> OSError:
        if why == p.OTHER_MOUNT:
            return OSError(number, ELSEWHERE.format(self.device.path, os.fsdecode(place)))
        if why == p.NOT_IT:
            return self._in_the_way(number, why, place)
        return OSError(number, os.strerror(number))

    def _in_the_way(self, _number: int, _why: int, _place: bytes) -> OSError:
        return OSError(
            errno.EEXIST,
            f"{self.device.path} exists in the container and is not "
            f"{self.device.named()}; remove it from the image, or mount a tmpfs over it",
        )

    def _node(self) -> tuple[int, int, int]:
        """What ``program.NODE`` compares."""
        device = self.device
        return device.kind, device.major, device.minor

    def _bind(self, run: Run) -> None:
        """Bind it on an empty file, unless it is there already."""
        kernel = run.inner
        target = self._make(run, c.S_IFREG | 0o666, 0, 0, 0, opens=True)
        first = kernel.position()
        kernel.queue(p.NODE, target, *self._node(), tolerated=(errno.EOPNOTSUPP,), flags=p.ELSE)
        kernel.queue(p.EMPTY, target, explain=self._in_the_way)
        if self.node and NODES_FD in run.mounts:
            mount = kernel.open_tree(run.mounts[NODES_FD], self.node, c.OPEN_TREE_CLONE)
        else:
            mount = self._take_hosts(kernel)
        kernel.mount_setattr(mount, set_=BOUND, propagation=c.MS_PRIVATE)
        kernel.move_mount(mount, target)
        kernel.close(mount)
        kernel.skip_from(first)
        kernel.close(target)

    def _take_hosts(self, kernel: Inside) -> int:
        device = self.device

        def explain(_number: int, _value: int, _text: bytes) -> OSError:
            return OSError(
                errno.ENODEV,
                f"{device.path} of the host, which is to be bound, is not {device.named()}; "
                "correct the path, type or numbers",
            )

        source = kernel.open(device.path, c.O_PATH | c.O_NOFOLLOW)
        kernel.queue(p.NODE, source, *self._node(), explain=explain)
        mount = clone_fd(kernel, source, recursive=False)
        kernel.close(source)
        return mount

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
    """One of the symlinks that the specification wants in /dev; an existing entry stays, but
    ``ptmx`` is replaced: a node of the image's would open the *host's* terminals.
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
        how = p.NEAR | (p.REPLACES if self.replace else 0)
        run.inside().symlink(self.path, self.target, how, self._refused)

    def _refused(self, number: int, why: int, place: bytes) -> OSError:
        if why == p.OTHER_MOUNT:
            return OSError(number, ELSEWHERE.format(self.path, os.fsdecode(place)))
        return OSError(number, os.strerror(number))

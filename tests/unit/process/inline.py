"""A plan carried out in this process on the recorder: no fork, no privileges, no effect.

The host side is the real executor. The programs that it sends are carried out at once by
``Emulator``, as other processes of the recorder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ociruntime.cgroups.detect import HYBRID, Hierarchy, Layout
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.ocinit import PLACES
from ociruntime.kernel.program import Descriptor
from ociruntime.plan.build import build
from ociruntime.plan.host import Host
from ociruntime.plan.requests import CreateRequest
from ociruntime.process.executor import execute
from ociruntime.process.run import Run
from ociruntime.spec.tables import DEFAULT_DEVICES, NAMESPACES
from ociruntime.state.store import Store
from tests.support.model.calls import FIRST_FD
from tests.support.model.emulator import Emulator
from tests.support.model.recorder import Recorder

if TYPE_CHECKING:
    from _socket import socket

    from ociruntime.process.channel import Channel

CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids")
BUNDLE = "/bundle"
PROGRAMS = ("/bin/sh", "/bin/true")


def model_host(config: dict[str, Any]) -> Recorder:
    """A host with a hybrid cgroup layout, /proc, /dev and a bundle that fits ``config``."""
    recorder = Recorder()
    for name in ("oci-setup", "oci-init"):
        recorder.add(f"{PLACES[0]}/{name}", c.S_IFREG | 0o755, b"\x7fELF")
    recorder.add_mount("/proc", "proc")
    recorder.add_mount("/sys", "sysfs")
    for path, numbers in DEFAULT_DEVICES.items():
        recorder.add(path, c.S_IFCHR | 0o666).rdev = numbers
    for name in CONTROLLERS:
        recorder.add_mount(f"/sys/fs/cgroup/{name}", "cgroup")
    recorder.add_mount("/sys/fs/cgroup/unified", "cgroup2")
    for name in PROGRAMS:
        recorder.add(f"{BUNDLE}/rootfs{name}", c.S_IFREG | 0o755, b"\x7fELF")
    recorder.add(f"{BUNDLE}/rootfs/etc/passwd", c.S_IFREG | 0o644, b"root:x:0:0::/root:/bin/sh\n")
    for entry in config.get("mounts", ()):
        if entry.get("type") == "bind":
            recorder.add(entry["source"], c.S_IFREG | 0o644)
    for entry in config["linux"]["namespaces"]:
        if "path" in entry:
            node = recorder.add(entry["path"], c.S_IFREG | 0o444)
            node.fs = recorder.filesystem_of("nsfs")
            node.content += NAMESPACES[entry["type"]].to_bytes(4, "little")
    return recorder


def layout() -> Layout:
    """The facts that ``model_host`` corresponds to."""
    base = "/sys/fs/cgroup"
    hierarchies = [Hierarchy(name, (name,), f"{base}/{name}", "/", "/") for name in CONTROLLERS]
    return Layout(HYBRID, [*hierarchies, Hierarchy("", (), f"{base}/unified", "/", "/")])


def root_host() -> Host:
    """Root of the host, with every capability."""
    return Host(0, 0, (1 << 41) - 1, 40, layout(), in_userns=False)


class ModelRun(Run):
    """Closes the real descriptors, too: to the recorder they are nothing."""

    __slots__ = ()

    def close(self) -> None:
        for fd in self.fds.values():
            if fd < FIRST_FD and fd != self.lent and type(fd) is not Descriptor:
                os.close(fd)
        super().close()


class Creation:
    """``create`` of ``config`` on the recorder: build with ``__init__``, then ``execute``.

    The state directory, the start socket, the pid file and hooks are real ones below ``directory``.
    """

    def __init__(self, directory: Path, config: dict[str, Any], **options: object) -> None:
        self.root = directory / "state"
        self.recorder = model_host(config)
        wanted = CreateRequest("c1", Store(str(self.root)), BUNDLE)
        for name, value in options.items():
            setattr(wanted, name, value)
        self.plan = build(config, b"{}", root_host(), wanted)
        self.plan.state["maker"] = {"pid": 1, "start_time": 1}
        self.run = ModelRun(self.recorder, self.plan.steps)
        self.run.connect = self._connect
        self.recorder.mark()

    def _connect(self) -> tuple[Channel, socket]:
        self.init = Emulator(self.recorder)
        return self.init.connect()

    def execute(self) -> None:
        """Raises what the command would report."""
        execute(self.run)

    def failure(self) -> OciError | None:
        """The error that ``execute`` raised, None when the plan went through (then ``close``)."""
        try:
            self.execute()
        except OciError as error:
            self.close()
            return error
        return None

    def left(self) -> list[str]:
        """What is there still, in the model and below the state directory."""
        found = sorted(str(path) for path in self.root.rglob("*")) if self.root.exists() else []
        fds = [f"descriptor {fd}" for fd in sorted(self.recorder.host.fds)]
        return self.recorder.left() + found + fds

    def close(self) -> None:
        """Let go of the real descriptors, as the end of the command would."""
        if self.run.container is not None:
            self.run.container.close()
        self.run.close()

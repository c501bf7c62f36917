"""A plan carried out in this process on the recorder: no fork, no privileges, no effect.

The host side is the real executor. What it sends to init is answered at once by the real container
side, which runs on a copy of the ``Run`` as another process of the recorder.
"""

from __future__ import annotations

import copy
import errno
import os
from collections import deque
from pathlib import Path
from typing import Any, cast

from ociruntime.cgroups.detect import HYBRID, Hierarchy, Layout
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.modelcalls import FIRST_FD
from ociruntime.kernel.ocinit import PLACES
from ociruntime.kernel.recorder import ProgramStarted, Recorder
from ociruntime.plan.build import build
from ociruntime.plan.host import Host
from ociruntime.plan.options import CreateOptions
from ociruntime.process.channel import Channel, Closed
from ociruntime.process.executor import execute
from ociruntime.process.init import _execute
from ociruntime.process.run import Run
from ociruntime.spec.tables import DEFAULT_DEVICES, NAMESPACES
from ociruntime.state.store import Store
from ociruntime.steps.spawn import Spawn

CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids")
BUNDLE = "/bundle"
PROGRAMS = ("/bin/sh", "/bin/true")


class Pipe:
    """One end of a packet socket in memory; the far end's packets are ``inbox``."""

    def __init__(self, init: Init) -> None:
        self.init = init
        self.inbox: deque[bytes] = deque()
        self.far: Pipe | None = None
        self.closed = False

    def fileno(self) -> int:
        return -1

    def settimeout(self, seconds: float) -> None:
        """What comes, comes at once."""

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """As ``settimeout``."""

    def send(self, message: bytes) -> None:
        assert self.far is not None
        if self.closed or self.far.closed:
            raise OSError(errno.EPIPE, "Broken pipe")
        self.far.inbox.append(message)

    def recv(self, _size: int) -> bytes:
        if not self.inbox:
            self.init.serve(self)
        return self.inbox.popleft() if self.inbox else b""

    def close(self) -> None:
        # The host side closes its copy of a far end, too: that ends nothing.
        if any(pair[0] is self for pair in self.init.pairs):
            self.closed = True
            self.init.hang_up(self)


class Init:
    """Plays init, and the process between for joined namespaces, for the channels of one run."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        self.run = run
        self.recorder = recorder
        self.pairs: list[tuple[Pipe, Pipe]] = []
        self.inner: Run | None = None
        self.pid = 0
        self.started: ProgramStarted | None = None

    def connect(self) -> tuple[Channel, Channel]:
        near, far = Pipe(self), Pipe(self)
        near.far, far.far = far, near
        self.pairs.append((near, far))
        return _channel(near), _channel(far)

    def serve(self, near: Pipe) -> None:
        """Somebody waits at ``near`` with an empty inbox: let the far side work."""
        index = next((i for i, pair in enumerate(self.pairs) if pair[0] is near), -1)
        if index == 0:
            self._init(near)
        elif index == 1:
            self._between(near)

    def hang_up(self, near: Pipe) -> None:
        """init ends when the host side closes the channel."""
        if self.pairs and self.pairs[0][0] is near and self.started is None:
            self._end()

    def _between(self, near: Pipe) -> None:
        """The intermediate process asks for its maps, and makes init as its sibling."""
        assert near.far is not None
        recorder = self.recorder
        spawn = next(step for step in self.run.steps if isinstance(step, Spawn))
        wants_maps = spawn.flags & c.CLONE_NEWUSER and spawn.time_offsets is not None
        if wants_maps and not near.far.inbox:
            _channel(near.far).ready()
            return
        between = recorder.processes[max(recorder.processes)]
        host, recorder.process = recorder.process, between
        try:
            self.pid, _ = recorder.clone(c.CLONE_NEWNS | c.CLONE_PARENT)
        except OSError as error:
            _channel(near.far).failed(error.errno or 0, "linux.namespaces", "")
        else:
            _channel(near.far).send_pid(self.pid)
        finally:
            recorder.process = host
            recorder.end(between)

    def _init(self, near: Pipe) -> None:
        """Execute what the host side has asked for, as init."""
        assert near.far is not None
        recorder = self.recorder
        init = recorder.processes[self.run.pid]
        if init.result is not None or self.started is not None:
            return
        channel = _channel(near.far)
        if self.inner is None:
            self.inner = self._copy(channel)
        host, recorder.process = recorder.process, init
        try:
            start, end = channel.wait_go()
            _execute(self.inner, channel, start, end)
            channel.done()
        except Closed:
            self._end()
        except ProgramStarted as program:
            self.started = program
            near.far.closed = True
        finally:
            recorder.process = host

    def _copy(self, channel: Channel) -> Run:
        """What fork(2) makes of the ``Run``."""
        inner = copy.copy(self.run)
        inner.fds = dict(self.run.fds)
        inner.mounts, inner.warnings, inner.stubs = {}, [], []
        inner.channel = channel
        return inner

    def _end(self) -> None:
        pid = self.pid or self.run.pid
        if pid:
            self.recorder.end(self.recorder.processes[pid])


def _channel(pipe: Pipe) -> Channel:
    return Channel(cast("Any", pipe))


def model_host(config: dict[str, Any]) -> Recorder:
    """A host with a hybrid cgroup layout, /proc, /dev and a bundle that fits ``config``."""
    recorder = Recorder()
    recorder.add(f"{PLACES[0]}/oci-init", c.S_IFREG | 0o755, b"\x7fELF")
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
            if fd < FIRST_FD and fd != self.lent:
                os.close(fd)
        super().close()


class Creation:
    """``create`` of ``config`` on the recorder: build with ``__init__``, then ``execute``.

    The state directory, the start socket, the pid file and hooks are real ones below ``directory``.
    """

    def __init__(self, directory: Path, config: dict[str, Any], **options: object) -> None:
        self.root = directory / "state"
        self.recorder = model_host(config)
        wanted = CreateOptions("c1", Store(str(self.root)), BUNDLE)
        for name, value in options.items():
            setattr(wanted, name, value)
        self.plan = build(config, b"{}", root_host(), wanted)
        self.plan.state["maker"] = {"pid": 1, "start_time": 1}
        self.run = ModelRun(self.recorder, self.plan.steps)
        self.init = Init(self.run, self.recorder)
        self.run.connect = self.init.connect
        self.recorder.mark()

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

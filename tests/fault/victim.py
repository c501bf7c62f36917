"""A container with as many kinds of steps as one can have, and operations on it that stop half-way,
whoever asks for them (ways.py).
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ociruntime.cgroups.detect import detect
from ociruntime.errors import PlanError
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.build import build
from ociruntime.plan.host import read_host
from ociruntime.plan.requests import CreateRequest
from ociruntime.state.store import Store
from tests.fault.ways import Shim
from tests.support.config import base_config
from tests.support.tally import count

if TYPE_CHECKING:
    from ociruntime.process.step import Step
    from tests.fault.ways import Operation, Way
    from tests.support.bundle import Bundle


def full(config: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Make ``config`` one whose plan has as many kinds of steps as one plan can have."""
    phases = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
    hooks = {phase: [{"path": "/bin/true"}] for phase in (*phases, "poststop")}
    config.update(domainname="example", hooks=hooks)
    config["root"]["readonly"] = True
    config["process"].update(args=["sleep", "1000"], cwd="/work", oomScoreAdj=100, terminal=True)
    config["mounts"] += [
        {"destination": "/data", "type": "bind", "source": str(directory), "options": ["rbind"]},
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
    ]
    config["linux"].update(
        sysctl={"net.ipv4.ip_forward": "1"},
        devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
        rootfsPropagation="rslave",
    )
    limits = {"pids": {"limit": 10}, "memory": {"limit": 1 << 26}}
    layout = detect(Kernel())
    found = {name: limit for name, limit in limits.items() if layout.find(name) is not None}
    config["linux"]["resources"].update(found)
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
    }
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 10}}
    return config


def steps_of_create(**wanted: object) -> list[Step]:
    """The steps on this host; none for a caller who may not create anything."""
    options = CreateRequest("x", Store("/nowhere"), "/nowhere")
    for name, value in wanted.items():
        setattr(options, name, value)
    config = full(base_config("x", "x=x"), Path("/"))
    try:
        return build(config, b"", read_host(Kernel()), options).steps
    except PlanError:
        return []


# What `exec` is given: something for each of its steps.
EXECUTED = {
    "args": ["sleep", "1000"],
    "cwd": "/",
    "env": ["PATH=/bin"],
    "terminal": True,
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}],
    "oomScoreAdj": 100,
    "scheduler": {"policy": "SCHED_BATCH"},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 5},
    "execCPUAffinity": {"initial": "0", "final": "0"},
}


def points_of(steps: list[Step]) -> list[tuple[int, str]]:
    """Nobody sees the end of the step in which init becomes another program."""
    return [(index, step.kind) for index, step in enumerate(steps) if step.kind != "exec-init"]


# What is run beside create's.
HOOKS = {"start": ("startContainer", "poststart"), "delete": ("poststop",)}
PATHS = dict.fromkeys(("console_socket", "pid_file", "pidfd_socket"), "/nowhere")
STEPS = points_of(steps_of_create(**PATHS))
STEPS_OF_SHIM = points_of(steps_of_create(console_fd=4, pid_file="/nowhere"))


class Victim:
    """Operations of one full container that are killed half-way."""

    def __init__(self, way: Way, bundle: Bundle) -> None:
        self.way = way
        self.runtime = runtime = way.runtime
        self.sandbox = sandbox = runtime.sandbox
        self.bundle = bundle
        self.id = bundle.name
        self.pid_file = sandbox.directory / "init.pid"
        self.console = sandbox.directory / "test-console"
        full(bundle.config, sandbox.directory / "canary-bind")
        (sandbox.directory / "canary-bind").mkdir()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.console))
        self.listener.listen(100)
        self.before = self.files()

    def lean(self, verb: str = "") -> None:
        """Leave out what only `create` has to do with, and hooks but those of ``verb``."""
        config = self.bundle.config
        config["hooks"] = {phase: config["hooks"][phase] for phase in HOOKS.get(verb, ())}
        extra = ("/data", "/etc")
        config["mounts"] = [m for m in config["mounts"] if m["destination"] not in extra]
        for name in ("sysctl", "devices"):
            del config["linux"][name]

    def points(self) -> list[tuple[int, str]]:
        """Where `create` can stop: (number of the step, its kind)."""
        return STEPS_OF_SHIM if isinstance(self.way, Shim) else STEPS

    def create(self) -> None:
        """Create the container, undisturbed: with the runtime under test, but a shim's by that."""
        if isinstance(self.way, Shim):
            self.bundle.write()
            self.way.carry_out("create", {"id": self.id, "bundle": str(self.bundle.path)})
            return
        self.runtime.create(
            self.bundle,
            "--console-socket",
            str(self.console),
            "--pid-file",
            str(self.pid_file),
            container=self.id,
        ).check()

    def exec_options(self) -> dict[str, str]:
        """Of an `exec` of ``EXECUTED``."""
        return {
            "console_socket": str(self.console),
            "pid_file": f"{self.pid_file}.exec",
            "pidfd_socket": str(self.console),
        }

    def start(self) -> None:
        """Start it, undisturbed."""
        if isinstance(self.way, Shim):
            self.way.carry_out("start", {"id": self.id})
        else:
            self.runtime.start(self.id).check()

    def init(self) -> int:
        """The pid of its first process."""
        state = (self.runtime.root / self.id / "state.json").read_bytes()
        return int(json.loads(state)["pid"])

    def ask(
        self, verb: str, at: int, *, patience: float | None = None, **asked: object
    ) -> Operation:
        """Begin ``verb``, which stops at point ``at``; the bundle's config.json is written.

        ``patience`` (seconds) is how long somebody who is held up is waited for.
        """
        self.bundle.write()
        return self.way.ask(verb, at, {**asked, "id": self.id}, patience)

    def kill_at(self, verb: str, at: int, **asked: object) -> str:
        """Run ``verb`` up to point ``at`` and kill it there; returns the point, "" for none."""
        with self.ask(verb, at, **asked) as operation:
            point = operation.wait_for_point()
            if not point:
                assert operation.finish() == 0, operation.said()
            count("kills", bool(point))
            return point

    def check(self, point: str) -> None:
        """`delete --force` removes everything, and the id can be used again.

        What stays in the rootfs is what stays there after any container: empty mount points.
        """
        self.way.take_away(self.id)
        self.runtime.delete(self.id, "--force").check()
        assert self.sandbox.settled_leaks() == [], point
        made = self.files() - self.before
        assert made <= self.mount_points(), point
        assert not [path for path in made if path.is_file() and path.stat().st_size], point

    def files(self) -> set[Path]:
        """Everything in the rootfs."""
        return set(self.bundle.rootfs.rglob("*"))

    def mount_points(self) -> set[Path]:
        """What create makes in the rootfs if it is missing: mount points, the working directory."""
        config = self.bundle.config
        inside = [mount["destination"] for mount in config["mounts"]] + [config["process"]["cwd"]]
        paths = [self.bundle.rootfs / path.lstrip("/") for path in inside]
        return {above for path in paths for above in (path, *path.parents)}

    def close(self) -> None:
        self.listener.close()
        self.console.unlink()
        self.way.close()

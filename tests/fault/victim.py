"""A container with as many kinds of steps as one can have, and operations on it that stop half-way.

tests/fault/driver.py runs the checkout's operations and stops where the test wants it to.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ociruntime.errors import PlanError
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.build import build
from ociruntime.plan.host import read_host
from ociruntime.plan.options import CreateOptions
from ociruntime.state.store import Store
from tests.support.config import base_config
from tests.support.tally import count

if TYPE_CHECKING:
    from ociruntime.plan.step import Step
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

DRIVER = Path(__file__).with_name("driver.py")
# Of ``at``: the driver stops nowhere, as its own NOWHERE.
NOWHERE = -1
SECONDS = 20 * float(os.environ.get("OCIRT_TIME_FACTOR", "1"))


def full(config: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Make ``config`` one whose plan has as many kinds of steps as one plan can have."""
    phases = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
    hooks = {phase: [{"path": "/bin/true"}] for phase in (*phases, "poststop")}
    config.update(domainname="example", hooks=hooks)
    config["root"]["readonly"] = True
    config["process"].update(args=["sleep", "100"], cwd="/work", oomScoreAdj=100, terminal=True)
    config["mounts"] += [
        {"destination": "/data", "type": "bind", "source": str(directory), "options": ["rbind"]},
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
    ]
    config["linux"].update(
        sysctl={"net.ipv4.ip_forward": "1"},
        devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
        rootfsPropagation="rslave",
    )
    config["linux"]["resources"].update(pids={"limit": 10}, memory={"limit": 1 << 26})
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
    }
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 10}}
    return config


def steps_of_create() -> list[Step]:
    """The steps on this host; none for a caller who may not create anything."""
    options = CreateOptions("x", Store("/nowhere"), "/nowhere")
    options.console_socket = options.pid_file = options.pidfd_socket = "/nowhere"
    config = full(base_config("x", "x=x"), Path("/"))
    try:
        return build(config, b"", read_host(Kernel()), options).steps
    except PlanError:
        return []


# What `exec` is given: something for each of its steps.
EXECUTED = {
    "args": ["sleep", "50"],
    "cwd": "/",
    "env": ["PATH=/bin"],
    "terminal": True,
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}],
    "oomScoreAdj": 100,
    "scheduler": {"policy": "SCHED_BATCH"},
    "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 5},
    "execCPUAffinity": {"initial": "0", "final": "0"},
}

# Nobody sees the end of the step in which init becomes another program.
STEPS = [(i, s.kind) for i, s in enumerate(steps_of_create()) if s.kind != "exec-init"]


class Victim:
    """Operations of one full container that are killed half-way."""

    def __init__(self, runtime: Runtime, sandbox: Sandbox, bundle: Bundle) -> None:
        self.runtime = runtime
        self.sandbox = sandbox
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

    def create(self) -> None:
        """Create the container, undisturbed, with the runtime under test."""
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

    def kill_at(self, verb: str, at: int, **asked: object) -> str:
        """Run ``verb`` up to point ``at`` and kill it there; returns the point, "" for none."""
        self.bundle.write()
        with self.drive(verb, at, **asked) as driven:
            point = driven.wait_for_point()
            if not point:
                assert driven.finish() == 0, driven.said()
            count("kills", bool(point))
            return point

    def drive(self, verb: str, at: int, **asked: object) -> Driven:
        """Start ``verb``, which stops at point ``at``; the bundle's config.json is written."""
        self.bundle.write()
        asked.update(verb=verb, at=at, root=str(self.runtime.root), id=self.id)
        return Driven(asked, self.sandbox)

    def check(self, point: str) -> None:
        """`delete --force` removes everything, and the id can be used again.

        What stays in the rootfs is what stays there after any container: empty mount points.
        """
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


class Driven:
    """One operation that tests/fault/driver.py carries out; killed at the end of the block."""

    def __init__(self, asked: dict[str, object], sandbox: Sandbox) -> None:
        self.verb = str(asked["verb"])
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # A file, because the container has the stream, too.
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(theirs.fileno()), json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
            env=sandbox.environment(),
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self.socket.close()
        self.stderr.close()
        os.close(self.pidfd)

    def wait_for_point(self) -> str:
        """The point where it stopped, "" when it has ended before."""
        # The container's program has the socket, too: wait for the driver's end as well.
        ready, _, _ = select.select([self.socket, self.pidfd], [], [], SECONDS)
        assert ready, f"{self.verb} hangs"
        return self.socket.recv(4096).decode() if self.socket in ready else ""

    def go_on(self) -> None:
        """Let it go on from the point."""
        self.socket.send(b"G")

    def finish(self) -> int:
        """Its exit status; it may not take long."""
        ready, _, _ = select.select([self.pidfd], [], [], SECONDS)
        assert ready, f"{self.verb} waits for ever"
        return self.process.wait()

    def said(self) -> str:
        """What it wrote to standard error."""
        self.stderr.seek(0)
        return self.stderr.read().decode()

    def children(self) -> list[int]:
        """Its children, the oldest first."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

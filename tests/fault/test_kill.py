"""The runtime is killed (SIGKILL) at every step: `delete --force` leaves nothing, the id is free.

tests/fault/driver.py runs the checkout's operations and stops where the test wants to kill it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.errors import PlanError
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.build import build
from ociruntime.plan.host import read_host
from ociruntime.plan.options import CreateOptions
from ociruntime.state.store import Store
from tests.support.bundle import Bundle
from tests.support.config import base_config

if TYPE_CHECKING:
    from ociruntime.plan.step import Step
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.kernel
DRIVER = Path(__file__).with_name("driver.py")
SECONDS = 20
# start, delete and exec have no plan that could be known in advance: every PARTS-th point each.
PARTS = 4
LAST_STEPS = ("save-created",)
MakeBundle = Callable[..., Bundle]


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

    def kill_at(self, verb: str, at: int, **asked: object) -> str:
        """Run ``verb`` up to point ``at`` and kill it there; returns the point, "" for none."""
        self.bundle.write()
        asked.update(verb=verb, at=at, root=str(self.runtime.root), id=self.id)
        ours, theirs = os.pipe()
        with subprocess.Popen(
            [sys.executable, str(DRIVER), str(theirs), json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.sandbox.environment(),
            pass_fds=(theirs,),
            start_new_session=True,
        ) as process:
            os.close(theirs)
            try:
                # The container's program has the pipe, too: wait for the driver's end as well.
                pidfd = os.pidfd_open(process.pid)
                ready, _, _ = select.select([ours, pidfd], [], [], SECONDS)
                os.close(pidfd)
                assert ready, f"{verb} hangs"
                point = os.read(ours, 4096).decode() if ours in ready else ""
                if not point:
                    assert process.stderr is not None
                    assert process.wait(SECONDS) == 0, process.stderr.read().decode()
                return point
            finally:
                os.close(ours)
                process.kill()

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


@pytest.fixture
def victim(runtime: Runtime, sandbox: Sandbox, bundle: MakeBundle) -> Iterator[Victim]:
    made = Victim(runtime, sandbox, bundle())
    yield made
    made.close()


@pytest.mark.parametrize(("index", "kind"), STEPS, ids=[f"{i}-{kind}" for i, kind in STEPS])
def test_create(victim: Victim, index: int, kind: str) -> None:
    paths = {
        "console_socket": str(victim.console),
        "pid_file": str(victim.pid_file),
        "pidfd_socket": str(victim.console),
    }
    bundle = str(victim.bundle.path)
    point = victim.kill_at("create", index, bundle=bundle, options=paths)
    assert f" {kind}:" in point
    victim.check(point)
    if kind not in LAST_STEPS:  # then it is a complete container, whose pid file is the engine's
        assert not victim.pid_file.exists()
    victim.create()
    victim.runtime.delete(victim.id).check()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", ["start", "delete"])
def test_lines(victim: Victim, verb: str, part: int) -> None:
    """Killed before each line of what carries the operation out."""
    at = part
    while True:
        victim.create()
        point = victim.kill_at(verb, at)
        victim.check(f"{verb} {point}")
        if not point:
            break
        at += PARTS
    assert at > 10


@pytest.mark.parametrize("part", range(PARTS))
def test_exec(victim: Victim, part: int) -> None:
    """The container goes on running, and can be deleted."""
    process = {"args": ["sleep", "50"], "cwd": "/", "env": ["PATH=/bin"], "terminal": True}
    options = {"console_socket": str(victim.console), "pid_file": str(victim.pid_file) + ".exec"}
    victim.create()
    victim.runtime.start(victim.id).check()
    at = part
    while point := victim.kill_at("exec", at, process=process, options=options):
        assert victim.runtime.status(victim.id) == "running", point
        at += PARTS
    assert at > 10
    victim.check("exec")

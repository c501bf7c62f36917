"""Cgroups whose names are no text: a container, or whoever starts us, can make them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.patience import why_held
from tests.support.executed import execute, process
from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
# A new cpuset takes no process before it has CPUs.
ENTERED = [item for item in LAYOUT.hierarchies if "cpuset" not in item.key.split(",")]
pytestmark = pytest.mark.skipif(not LAYOUT.hierarchies, reason="needs cgroups")
NAMES = [b"\xff\xfe", "ä ö".encode(), b"line\x0bend \x1c", b"\xe2\x28"]


@pytest.fixture
def container(runtime: Runtime, bundle: MakeBundle) -> str:
    """One with such cgroups below its own in every hierarchy, and a process in the first."""
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    inner = runtime.exec(container, "sleep", "99", options=["--detach", "--pid-file", "pid"])
    inner.check()
    pid = (runtime.sandbox.directory / "pid").read_text()
    for item in LAYOUT.hierarchies:
        own = os.fsencode(item.mountpoint + made.config["linux"]["cgroupsPath"])
        for name in NAMES:
            os.makedirs(b"%s/%s/%s" % (own, name, name))
        if item in ENTERED:
            Path(os.fsdecode(b"%s/%s/cgroup.procs" % (own, NAMES[0]))).write_text(pid)
    return container


def test_commands(runtime: Runtime, container: str, sandbox: Sandbox) -> None:
    assert len(runtime.ps(container, "--format", "json").check().json()) == 2
    runtime.call("events", "--stats", container).check()
    runtime.call("pause", container).check()
    runtime.call("resume", container).check()
    runtime.exec(container, "true").check()
    runtime.call("kill", "--all", container, "KILL").check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container).check()
    assert sandbox.cgroups() == []


def test_delete(runtime: Runtime, container: str, sandbox: Sandbox) -> None:
    runtime.delete(container, "--force").check()
    assert sandbox.cgroups() == []


def test_exec_into_one(runtime: Runtime, container: str) -> None:
    name = os.fsdecode(NAMES[0])
    wish = name if LAYOUT.mode == "v2" else f"pids:{name}"
    options = ["--cgroup", wish]
    script = 'tr -cd "\\377\\376\\n" </proc/self/cgroup | sort -u | wc -l'
    said = runtime.exec(container, "sh", "-c", script, options=options).check().stdout
    assert int(said) >= 1
    missing = runtime.exec(container, "true", options=["--cgroup", f"{wish}x"])
    assert not missing.ok
    assert "there is no such cgroup" in missing.stderr
    assert "internal" not in missing.stderr


def test_exec_follows_the_first_process(runtime: Runtime, container: str) -> None:
    pid = runtime.pid(container)
    for item in ENTERED:
        own = next(
            line.split(b":", 2)[2]
            for line in Path(f"/proc/{pid}/cgroup").read_bytes().splitlines()
            if line.split(b":")[1] == os.fsencode(item.key)
        )
        directory = os.fsencode(item.mountpoint) + own
        Path(os.fsdecode(b"%s/%s/cgroup.procs" % (directory, NAMES[3]))).write_text(str(pid))
    assert execute(runtime, container, process("true")).status == 0


@pytest.fixture
def caller(sandbox: Sandbox) -> Iterator[tuple[str, ...]]:
    """A command in front of the runtime's that puts it into a cgroup with such a name."""
    name = os.fsencode(sandbox.prefix) + b"-\xff"
    places = [os.fsencode(item.mountpoint) + b"/" + name for item in ENTERED]
    for place in places:
        os.mkdir(place)
    script = 'until [ "$1" = -- ]; do echo 0 >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
    yield ("sh", "-c", script, "sh", *map(os.fsdecode, places), "--")
    for place in places:
        os.rmdir(place)


def test_below_the_caller_s_own(
    runtime: Runtime, bundle: MakeBundle, caller: tuple[str, ...]
) -> None:
    made = bundle(args=["sleep", "100"])
    made.set("/linux/cgroupsPath", made.name)
    container = runtime.create(made, wrapper=caller).check().container
    runtime.start(container).check()
    assert len(runtime.ps(container, "--format", "json").check().json()) == 1
    runtime.exec(container, "true").check()
    runtime.delete(container, "--force").check()


@pytest.mark.parametrize("manager", ["cgroupfs", "disabled"])
def test_every_command_from_there(
    runtime: Runtime, bundle: MakeBundle, caller: tuple[str, ...], manager: str
) -> None:
    """Also where the container has no cgroup but the caller's."""
    runtime.global_options = ("--cgroup-manager", manager)
    made = bundle(args=["sleep", "100"])
    made.set("/linux/cgroupsPath", made.name)
    container = runtime.run(made, "--detach", wrapper=caller).check().container
    of_cgroups = (
        ["pause", container],
        ["resume", container],
        ["update", "--pids-limit", "50", container],
        ["events", "--stats", container],
    )
    for words in (
        ["state", container],
        ["list"],
        ["ps", container],
        ["exec", container, "true"],
        *(of_cgroups if manager == "cgroupfs" else ()),
        ["kill", "--all", container, "CONT"],
        ["delete", "--force", container],
    ):
        runtime.call(*words, wrapper=caller).check()


def test_a_process_that_is_frozen_there(caller: tuple[str, ...]) -> None:
    """Who waits for one asks its cgroup, whatever that is called."""
    with subprocess.Popen([*caller, "sleep", "100"]) as process:
        place = next(
            path
            for path in map(Path, caller)
            if (path / "freezer.state").exists() or (path / "cgroup.freeze").exists()
        )
        deadline = time.monotonic() + TIMEOUT
        while str(process.pid) not in (place / "cgroup.procs").read_text().split():
            assert time.monotonic() < deadline
        assert why_held(process.pid) == ""
        freezer = (place / "freezer.state", "FROZEN", "THAWED")
        if not freezer[0].exists():
            freezer = (place / "cgroup.freeze", "1", "0")
        freezer[0].write_text(freezer[1])
        try:
            while not why_held(process.pid).startswith(f"frozen (cgroup {place}"):
                assert time.monotonic() < deadline, why_held(process.pid)
        finally:
            freezer[0].write_text(freezer[2])
            process.kill()

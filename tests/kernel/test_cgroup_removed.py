"""A container whose cgroups somebody on the host has removed goes on elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.executed import output_of, process
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
pytestmark = pytest.mark.skipif(not LAYOUT.hierarchies, reason="needs cgroups")


def remove_cgroups(runtime: Runtime, container: str, made: Bundle) -> None:
    """As an administrator does, or systemd where a controller of v1 has no unit."""
    pid = str(runtime.pid(container))
    for item in LAYOUT.hierarchies:
        elsewhere = Path(item.mountpoint, "ocirt-test", f"{made.name}-elsewhere")
        elsewhere.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):
            if item.key and (elsewhere / file).exists():
                (elsewhere / file).write_text((elsewhere.parent / file).read_text())
        (elsewhere / "cgroup.procs").write_text(pid)
        Path(item.mountpoint + made.config["linux"]["cgroupsPath"]).rmdir()


@pytest.fixture
def made(bundle: MakeBundle) -> Bundle:
    return bundle(args=["sleep", "100"])


@pytest.fixture
def container(runtime: Runtime, made: Bundle, sandbox: Sandbox) -> str:
    container = runtime.up(made)
    remove_cgroups(runtime, container, made)
    return container


@pytest.fixture(autouse=True)
def clean(sandbox: Sandbox, runtime: Runtime) -> object:
    yield
    runtime.remove_all()
    for item in LAYOUT.hierarchies:
        for left in Path(item.mountpoint, "ocirt-test").glob(f"{sandbox.prefix}*-elsewhere"):
            left.rmdir()


def test_exec_goes_where_the_first_process_is(runtime: Runtime, container: str) -> None:
    said = output_of(runtime, container, process("cat", "/proc/self/cgroup"))
    first = Path(f"/proc/{runtime.pid(container)}/cgroup").read_text()
    keys = [line.split(":")[1] for line in first.splitlines()]
    assert len(said.splitlines()) == len(keys)
    inside = runtime.exec(container, "cat", "/proc/1/cgroup").check().stdout
    assert said == inside


def test_questions_are_answered(runtime: Runtime, container: str) -> None:
    pid = runtime.pid(container)
    assert runtime.ps(container, "--format", "json").check().json() == [pid]
    assert str(pid) in runtime.ps(container).check().stdout
    for command in (("events", "--stats"), ("pause",), ("update", "--memory", "64M")):
        result = runtime.call(*command, container)
        assert_clear(runtime, result, "cgroup /sys/fs/cgroup/", "was removed")
    assert runtime.status(container) == "running"


def test_a_chosen_cgroup_is_that_one(runtime: Runtime, container: str) -> None:
    result = runtime.exec(container, "true", options=["--cgroup", "/"])
    assert_clear(runtime, result, "there is no such cgroup", "ocirt-test", status=255)


def test_events_go_on_until_then(runtime: Runtime, container: str) -> None:
    result = runtime.call("events", "--interval", "10ms", container)
    assert_clear(runtime, result, "was removed", "nobody counts")


def test_without_a_pid_namespace(runtime: Runtime, made: Bundle) -> None:
    container = runtime.up(made.drop_namespace("pid"))
    remove_cgroups(runtime, container, made)
    result = runtime.ps(container, "--format", "json")
    assert_clear(runtime, result, "was removed", "cannot be told from others")
    assert json.loads(runtime.state(container).stdout)["status"] == "running"


def test_delete(runtime: Runtime, container: str) -> None:
    runtime.delete(container, "--force").check()

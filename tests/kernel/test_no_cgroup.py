"""Containers without a cgroup of their own: what works all the same, and what says why not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.runtime import TIMEOUT
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
NESTED = "unshare -p -f sleep 100 & sleep 100 & touch /ready; sleep 100"


@pytest.fixture
def disabled(runtime: Runtime) -> Runtime:
    """The runtime with cgroups switched off, as podman does for --cgroups=disabled."""
    runtime.global_options = ("--cgroup-manager", "disabled")
    return runtime


@pytest.fixture
def nowhere(bundle: MakeBundle) -> Bundle:
    """A bundle that asks for nothing that needs a cgroup."""
    made = bundle(args=["sleep", "100"])
    made.remove("/linux/resources")
    made.remove("/linux/cgroupsPath")
    return made


def up(runtime: Runtime, bundle: Bundle, script: str) -> str:
    container = runtime.up(bundle.shell(script))
    while not (bundle.rootfs / "ready").exists():
        time.sleep(0.01)
    return container


def test_what_needs_a_cgroup_says_so(disabled: Runtime, nowhere: Bundle) -> None:
    container = disabled.up(nowhere)
    disabled.call("update", container).check()
    for command in (("update", "--memory", "9M"), ("pause",), ("events", "--stats"), ("events",)):
        result = disabled.call(*command, container)
        assert result.status == 1
        assert "no cgroup of its own" in result.stderr
    assert "container not paused" in disabled.call("resume", container).stderr


def test_limits_without_cgroups(disabled: Runtime, bundle: MakeBundle) -> None:
    """Who switches cgroups off means the list of devices of every config as well; not a limit."""
    made = bundle(args=["true"])
    made.set("/linux/resources", {"devices": [{"allow": False, "access": "rwm"}]})
    result = disabled.run(made).check()
    assert "linux.resources.devices: cgroups are disabled (--cgroup-manager)" in result.stderr
    made.set("/linux/resources/pids", {"limit": 5})
    assert_clear(disabled, disabled.run(made), "resources.pids.limit", "disabled", "cgroupfs")


def test_ps_goes_by_the_pid_namespace(disabled: Runtime, nowhere: Bundle) -> None:
    nowhere.add_capabilities("CAP_SYS_ADMIN")
    container = up(disabled, nowhere, NESTED)
    deadline = time.monotonic() + TIMEOUT
    # The shell or what it became, two in its namespace, one in another below.
    while len(pids := disabled.ps(container, "--format", "json").json()) != 4:
        assert time.monotonic() < deadline, pids
    assert pids == sorted(pids)
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]
    assert set(names) <= {"sleep", "sh", "unshare", "busybox"}
    assert disabled.pid(container) in pids
    table = disabled.ps(container).check().stdout.splitlines()
    assert len(table) == 5
    disabled.kill(container, "KILL").check()
    disabled.wait_for(container, "stopped")
    assert disabled.ps(container, "--format", "json").check().json() in (None, [])


def test_ps_without_a_pid_namespace_either(disabled: Runtime, nowhere: Bundle) -> None:
    nowhere.drop_namespace("pid")
    result = disabled.ps(disabled.up(nowhere))
    assert result.status == 1
    assert "no cgroup and no PID namespace of its own" in result.stderr


def test_kill_all_kills_the_first_process(disabled: Runtime, nowhere: Bundle) -> None:
    container = up(disabled, nowhere, NESTED)
    pids = disabled.ps(container, "--format", "json").json()
    disabled.call("kill", "--all", container, "KILL").check()
    disabled.wait_for(container, "stopped")
    deadline = time.monotonic() + TIMEOUT
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < deadline
    again = disabled.call("kill", "--all", container, "KILL")
    assert again.status == 1
    assert "container not running" in again.stderr

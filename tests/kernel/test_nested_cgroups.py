"""Containers that manage cgroups of their own, as systemd, dockerd or kubelet inside do.

On v2 they move their processes away and hand controllers down; then the container's own cgroup
can hold no process any more (cgroups(7), "no internal processes" rule).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
SYSTEMD = Path("/run/systemd/system").is_dir()
pytestmark = pytest.mark.skipif(
    LAYOUT.mode != "v2" or not LAYOUT.find("memory"), reason="needs cgroup v2 with controllers"
)
DRIVERS = [
    "cgroupfs",
    pytest.param(
        "systemd", marks=pytest.mark.skipif(not SYSTEMD, reason="systemd does not run here")
    ),
]
INSIDE = """
    cd /sys/fs/cgroup && mkdir init work work/deep
    echo 0 >init/cgroup.procs
    for name in $(cat cgroup.controllers); do echo "+$name" >cgroup.subtree_control; done
    (echo 0 >work/deep/cgroup.procs; exec sleep 1000) &
    until grep -q work /proc/$!/cgroup; do sleep 0.05; done
    touch /ready
    exec sleep 1000
"""


@pytest.fixture(params=DRIVERS)
def container(request: pytest.FixtureRequest, runtime: Runtime, bundle: MakeBundle) -> str:
    """One that has divided its cgroup."""
    made = bundle().shell(INSIDE)
    made.mount("/sys/fs/cgroup")["options"] = ["rw", "nosuid", "noexec", "nodev"]
    if request.param == "systemd":
        runtime.global_options = ("--systemd-cgroup",)
        made.set("/linux/cgroupsPath", f"system.slice:t:{made.name}")
    up = runtime.up(made)
    while not (made.rootfs / "ready").exists():
        assert runtime.status(up) == "running"
    return up


def own_cgroup(runtime: Runtime, container: str) -> Path:
    """The container's cgroup, above that of its first process."""
    path = Path(f"/proc/{runtime.pid(container)}/cgroup").read_text().strip().removeprefix("0::")
    assert path.endswith("/init")
    return Path("/sys/fs/cgroup" + path).parent


def test_exec_goes_where_the_first_process_is(runtime: Runtime, container: str) -> None:
    shown = runtime.exec(container, "cat", "/proc/self/cgroup").check().stdout
    assert shown == "0::/init\n"


def test_exec_into_a_chosen_one(runtime: Runtime, container: str) -> None:
    options = ("--cgroup", "work/deep")
    shown = runtime.exec(container, "cat", "/proc/self/cgroup", options=options).check().stdout
    assert shown == "0::/work/deep\n"
    refused = runtime.exec(container, "true", options=("--cgroup", "nowhere"))
    assert (refused.status, "no such cgroup" in refused.stderr) == (255, True)
    # The inner node that cannot hold processes: said so, not EBUSY alone.
    (own_cgroup(runtime, container) / "work/cgroup.subtree_control").write_text("+pids")
    refused = runtime.exec(container, "true", options=("--cgroup", "work"))
    assert refused.status == 255
    assert "controllers to its children can have no processes" in refused.stderr


def test_commands_reach_all_of_it(runtime: Runtime, container: str) -> None:
    own = own_cgroup(runtime, container)
    assert len(runtime.ps(container, "--format", "json").check().json()) == 2
    runtime.call("pause", container).check()
    assert runtime.status(container) == "paused"
    assert "frozen 1" in (own / "work/deep/cgroup.events").read_text().splitlines()
    runtime.call("resume", container).check()
    runtime.call("update", "--pids-limit", "44", container).check()
    assert (own / "pids.max").read_text() == "44\n"
    pids = [int(text) for text in (own / "work/deep/cgroup.procs").read_text().split()]
    runtime.call("kill", "--all", container, "KILL").check()
    runtime.wait_for(container, "stopped")
    assert not any(_lives(pid) for pid in pids)
    runtime.delete(container).check()
    assert not own.exists()


def test_delete_of_a_frozen_part(runtime: Runtime, container: str) -> None:
    own = own_cgroup(runtime, container)
    (own / "work/cgroup.freeze").write_text("1")
    runtime.delete(container, "--force").check()
    assert not own.exists()


def test_nothing_is_left_of_what_cannot_be_joined(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """A cgroupsPath whose children have controllers: refused by name, with the cure."""
    made = bundle(args=["true"])
    own = Path("/sys/fs/cgroup" + made.config["linux"]["cgroupsPath"])
    (own / "child").mkdir(parents=True)
    for level in (own.parents[1], own.parent, own):
        (level / "cgroup.subtree_control").write_text("+memory")
    try:
        result = runtime.create(made)
        assert result.status == 1
        assert "controllers to its children can have no processes" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert [path for path in sandbox.cgroups() if path not in (own, own / "child")] == []
    finally:
        for path in (own / "child", own):
            os.rmdir(path)


def _lives(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False

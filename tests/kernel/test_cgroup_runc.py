"""The same config has the same values in every cgroup file as runc's (v1; newer runc for v2)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.path import place
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.steps.cgroup import cgroup_steps
from tests.support.runtime import Runtime

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.sandbox import Sandbox

KERNEL = Kernel()
LAYOUT = detect(KERNEL)
RUNC = shutil.which("runc")
pytestmark = pytest.mark.skipif(
    RUNC is None or LAYOUT.mode not in ("v1", "hybrid"), reason="needs runc and cgroup v1"
)

MIB = 1 << 20
DENY_ALL = {"allow": False, "access": "rwm"}
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
# What the kernel counts or chooses itself, and what Debian 12's runc does not know.
LIVE = (
    "usage", "failcnt", "stat", "procs", "tasks", "events", "pressure", "effective", "local",
    "pids.current", "pids.peak", "slabinfo", "io_service", "io_serviced", "event_control",
    "rsvd",  # limited by us and by runc from 1.2 on
)  # fmt: skip

TABLE: dict[str, dict[str, Any]] = {
    "nothing": {"devices": [DENY_ALL]},
    "memory": {"memory": {"limit": 64 * MIB, "swap": 128 * MIB, "reservation": 32 * MIB}},
    "no swap": {"memory": {"limit": 16 * MIB, "swap": 16 * MIB, "swappiness": 0}},
    "memory alone": {"memory": {"limit": 64 * MIB}},
    "memory unlimited": {"memory": {"limit": -1}},
    "oom": {"memory": {"limit": 64 * MIB, "disableOOMKiller": True}},
    "cpu": {"cpu": {"shares": 512, "quota": 50000, "period": 100000}},
    "cpu unlimited": {"cpu": {"quota": -1, "period": 50000}},
    "cpu huge": {"cpu": {"shares": 262144}},
    "cpuset": {"cpu": {"cpus": "0", "mems": "0"}},
    "pids": {"pids": {"limit": 20}},
    "pids unlimited": {"pids": {"limit": -1}},
    "docker": {
        "blockIO": {"weight": 0},
        "cpu": {"shares": 0},
        "memory": {"disableOOMKiller": False},
        "devices": [DENY_ALL, {**FUSE, "allow": False}],
    },
    "fuse": {"devices": [DENY_ALL, FUSE, {"allow": True, "type": "b", "major": 8, "access": "r"}]},
    "privileged": {"devices": [{"allow": True, "access": "rwm"}]},
    "hugetlb": {"hugepageLimits": [{"pageSize": "2MB", "limit": 8 * MIB}]},
    "deny one": {"devices": [{"allow": True, "access": "rwm"}, {**FUSE, "allow": False}]},
}


@pytest.fixture
def runc(sandbox: Sandbox) -> Iterator[Runtime]:
    runtime = Runtime(Path(str(RUNC)), sandbox)
    yield runtime
    assert not runtime.remove_all()


def values(directory: Path) -> dict[str, str]:
    """The files of one cgroup that hold what somebody has set; devices in any order."""
    found = {}
    for path in sorted(directory.iterdir()):
        if path.is_dir() or not path.stat().st_mode & 0o400:
            continue
        if any(word in path.name for word in LIVE):
            continue
        text = path.read_text()
        if path.name == "memory.oom_control":
            text = text.split("\n")[0]
        if path.name == "devices.list":
            text = "\n".join(sorted(text.split("\n")))
        found[path.name] = text
    return found


@pytest.mark.parametrize("name", TABLE)
def test_same_values(
    runc: Runtime, bundle: Callable[..., Bundle], sandbox: Sandbox, name: str
) -> None:
    if name == "hugetlb" and not LAYOUT.find("hugetlb"):
        pytest.skip("no hugetlb controller")
    made = bundle(args=["true"])
    resources = {"devices": [DENY_ALL], **TABLE[name]}
    made.config["linux"]["resources"] = resources
    container = runc.create(made).check().container
    theirs = place(LAYOUT, made.config["linux"]["cgroupsPath"], container)

    config = {"linux": {"resources": resources}}
    placement = place(LAYOUT, f"/ocirt-test/{sandbox.new_id()}", "unused")
    run = Run(KERNEL, [])
    try:
        steps = cgroup_steps(config, placement, LAYOUT, rootless=False, warnings=[])
        for step in [*steps["prepare"], *steps["devices"], *steps["finish"]]:
            step.execute(run)
        compared = 0
        for mine, their in zip(placement.places, theirs.places, strict=True):
            # runc leaves the unified hierarchy and v1 ones it does not know alone.
            if not mine.key or not Path(their.directory).is_dir():
                continue
            assert values(Path(mine.directory)) == values(Path(their.directory)), mine.key
            compared += 1
        assert compared >= 5
    finally:
        for fd in run.fds.values():
            KERNEL.close(fd)
        group = run.cgroup or open_group(KERNEL, placement)
        group.close()
        group.remove(kill=True)

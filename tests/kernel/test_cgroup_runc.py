"""The same config has the same values in every cgroup file as with runc: v1 and v2, cgroupfs and
systemd. On v2 it takes `make vm-test`, unless this host has v2 with all controllers.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import Runtime

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.sandbox import Sandbox

    MakeBundle = Callable[..., Bundle]

LAYOUT = detect(Kernel())
V2 = LAYOUT.mode == "v2"
SYSTEMD = Path("/run/systemd/system").is_dir()
RUNC = shutil.which("runc")
pytestmark = [
    pytest.mark.skipif(RUNC is None, reason="runc is not installed"),
    pytest.mark.skipif(not LAYOUT.find("memory"), reason="the cgroups of this host lack memory"),
]

MIB = 1 << 20
DENY_ALL = {"allow": False, "access": "rwm"}
TUN = "/dev/char/10:200"
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
# What the kernel counts or chooses itself, and what Debian 12's runc does not know.
LIVE = (
    "usage", "failcnt", "stat", "procs", "tasks", "threads", "events", "pressure", "effective",
    "local", "current", "peak", "slabinfo", "io_service", "io_serviced", "event_control",
    "rsvd",  # limited by us and by runc from 1.2 on
    "prioidx",  # a number for each cgroup
)  # fmt: skip
# v1 hierarchies that runc does not know, and leaves its containers out of.
UNKNOWN_TO_RUNC = ("misc",)
# Properties of a unit that say the same as the files, and what becomes of it. On v2 DevicePolicy is
# none of them: our own program limits devices there, and systemd's would have to agree with it.
SHOWN = (
    "MemoryMax", "MemoryLow", "MemorySwapMax", "CPUQuotaPerSecUSec", "AllowedCPUs",
    "AllowedMemoryNodes", "TasksMax", "Delegate", "Slice", "MemoryAccounting",
    "CPUAccounting", "TasksAccounting", "IOAccounting", "DefaultDependencies",
    *(() if V2 else ("DevicePolicy", "DeviceAllow")),
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
V1_ONLY = {"oom", "no swap"}  # no such files in v2: swappiness, the OOM killer
V2_TABLE: dict[str, dict[str, Any]] = {
    "swap unlimited": {"memory": {"limit": 64 * MIB, "swap": -1}},
    "io": {"blockIO": {"weight": 500}},
    "unified": {"unified": {"memory.high": str(48 * MIB), "pids.max": "7", "cpu.weight": "33"}},
    "unified wins": {"pids": {"limit": 20}, "unified": {"pids.max": "9"}},
    "burst": {"cpu": {"quota": 50000, "period": 100000, "burst": 10000}},
}
CASES = {n: c for n, c in TABLE.items() if n not in V1_ONLY} | V2_TABLE if V2 else TABLE
# What another release of runc does otherwise, and why; the values themselves are in
# tests/unit/cgroups.
OTHERWISE = {
    # The conversion of shares is a new one since runc 1.4: 1024 is 100 now, and was 39.
    ("cpu", "cpu.weight"), ("cpu", "cpu.weight.nice"), ("cpu huge", "cpu.weight"),
    # Since runc 1.2.
    ("burst", "cpu.max.burst"),
}  # fmt: skip


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


def created(runtime: Runtime, bundle: Bundle) -> dict[str, str]:
    """Create the container; what each of its cgroups holds, by hierarchy and file."""
    pid = runtime.pid(runtime.create(bundle).check().container)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    own = {key: path for _, key, path in (line.split(":", 2) for line in lines)}
    # runc leaves the unified hierarchy of a hybrid host alone.
    used = [
        item for item in LAYOUT.hierarchies if (item.key or V2) and item.key not in UNKNOWN_TO_RUNC
    ]
    return {
        f"{item.key}: {file}": text
        for item in used
        for file, text in values(Path(item.mountpoint + own[item.key])).items()
    }


def prepared(make: MakeBundle, resources: dict[str, Any], driver: str) -> Bundle:
    made: Bundle = make(args=["true"])
    made.config["linux"]["resources"] = {"devices": [DENY_ALL], **resources}
    if driver == "systemd":
        made.config["linux"]["cgroupsPath"] = f"system.slice:t:{made.path.name}"
    return made


def shown(bundle: Bundle, name: str) -> list[str]:
    """What systemd says of the container's unit, in case ``name``."""
    command = ["systemctl", "show", f"t-{bundle.path.name}.scope", f"--property={','.join(SHOWN)}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # A line for each device, in any order. runc leaves out those that this host has no node of, and
    # all of them where systemd has no words for the rules.
    lines = sorted(done.stdout.splitlines())
    if name == "deny one":
        lines = [line for line in lines if not line.startswith("DeviceAllow=")]
    return [line for line in lines if TUN not in line or Path(TUN).exists()]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "driver",
    [
        "cgroupfs",
        pytest.param(
            "systemd", marks=pytest.mark.skipif(not SYSTEMD, reason="systemd does not run here")
        ),
    ],
)
def test_same_values(
    runtime: Runtime, runc: Runtime, bundle: MakeBundle, name: str, driver: str
) -> None:
    if name == "hugetlb" and not LAYOUT.find("hugetlb"):
        pytest.skip("no hugetlb controller")
    if driver == "systemd":
        runc.global_options = runtime.global_options = ("--systemd-cgroup",)
    bundles = [prepared(bundle, CASES[name], driver) for _ in range(2)]
    theirs, ours = created(runc, bundles[0]), created(runtime, bundles[1])
    assert len(ours) > 20, "hardly anything was compared"
    for files in (theirs, ours):
        for case, file in OTHERWISE:
            if case == name:
                files.pop(f": {file}", None)
    assert ours == theirs
    if driver == "systemd":
        assert shown(bundles[1], name) == shown(bundles[0], name)

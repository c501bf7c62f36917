"""update: other limits for a living container, all of them or none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.cgroups.v2 import convert
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
RUNC = shutil.which("runc")
MIB = 1 << 20
V2 = LAYOUT.mode == "v2"
limited = pytest.mark.skipif(LAYOUT.find("memory") is None, reason="needs memory limits")
FILES_V1 = {
    "memory": ["limit_in_bytes", "memsw.limit_in_bytes", "soft_limit_in_bytes", "swappiness"],
    "cpu": ["shares", "cfs_quota_us", "cfs_period_us", "cfs_burst_us", "idle"],
    "cpuset": ["cpus", "mems"],
    "pids": ["max"],
    "blkio": ["bfq.weight", "throttle.read_bps_device"],
}
FILES_V2 = {
    "memory": ["max", "swap.max", "low"],
    "cpu": ["weight", "max", "max.burst", "idle"],
    "cpuset": ["cpus", "mems"],
    "pids": ["max"],
    "io": ["bfq.weight", "weight", "max"],
}
FILES = FILES_V2 if V2 else FILES_V1
SHARES, BURST, MEMORY = (
    ("cpu.weight", "cpu.max.burst", "memory.max")
    if V2
    else ("cpu.shares", "cpu.cfs_burst_us", "memory.limit_in_bytes")
)


def values(bundle: Bundle) -> dict[str, str]:
    """What the container's cgroup files hold."""
    found = {}
    for controller, names in FILES.items():
        hierarchy = LAYOUT.find(controller)
        for name in names if hierarchy else ():
            assert hierarchy is not None
            path = Path(hierarchy.mountpoint + bundle.config["linux"]["cgroupsPath"])
            file = path / f"{controller}.{name}"
            if file.exists():
                found[file.name] = file.read_text().strip()
    return found


def share(shares: int) -> str:
    """What the file of shares holds for that many."""
    return str(convert.cpu_weight(shares) if V2 else shares)


def compared(bundle: Bundle) -> dict[str, str]:
    """Without what runc has only since 1.4: today's conversion of shares to a weight."""
    return {name: text for name, text in values(bundle).items() if name != "cpu.weight"}


def resources(sandbox: Sandbox, document: Any) -> str:
    """A file of resources."""
    path = sandbox.directory / "resources.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


DOCKER = {
    "blockIO": {"weight": 0},
    "cpu": {"shares": 700, "quota": 0, "period": 0, "cpus": "", "mems": ""},
    "memory": {"limit": 32 * MIB, "swap": 64 * MIB, "reservation": 0, "kernel": 0},
}
# What is asked for, in turn; each on top of the one before.
TABLE: dict[str, list[tuple[str, ...] | dict[str, Any]]] = {
    "memory": [("--memory", "64M", "--memory-swap", "128M"), ("--memory", "32m")],
    "growing": [
        ("--memory", "32M", "--memory-swap", "32M"),
        ("--memory", "96M", "--memory-swap", "128M"),
        ("--memory", "16M", "--memory-swap", "32M"),
    ],
    "memory unlimited": [("--memory", "64M", "--memory-swap", "64M"), ("--memory", "-1")],
    "swap unlimited": [("--memory", "64M", "--memory-swap", "64M"), ("--memory-swap", "-1")],
    "reservation": [("--memory-reservation", "16777216")],
    "cpu": [("--cpu-share", "512", "--cpu-quota", "50000", "--cpu-period", "20000")],
    "cpu in turn": [("--cpu-period", "50000"), ("--cpu-quota", "20000"), ("--cpu-quota", "-1")],
    "cpuset": [("--cpuset-cpus", "0", "--cpuset-mems", "0"), ("--cpuset-cpus", "0-1")],
    "pids": [("--pids-limit", "30"), ("--pids-limit", "-1")],
    "pids as they are": [("--pids-limit", "30"), ("--pids-limit", "0"), {"pids": {"limit": 0}}],
    "docker": [DOCKER, {**DOCKER, "memory": {"limit": 128 * MIB, "swap": 256 * MIB}}],
    "nothing": [()],
}


@limited
@pytest.mark.skipif(RUNC is None, reason="needs runc")
@pytest.mark.parametrize("name", TABLE)
def test_same_values_as_runc(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, name: str
) -> None:
    if name == "cpuset" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    peer = Runtime(Path(str(RUNC)), sandbox)
    peer.root = sandbox.directory / "state-of-runc"
    ours, theirs = bundle(args=["sleep", "100"]), bundle(args=["sleep", "100"])
    mine = runtime.up(ours)
    try:
        their = peer.up(theirs)
        assert compared(ours) == compared(theirs)
        for step in TABLE[name]:
            options = step if isinstance(step, tuple) else ("-r", resources(sandbox, step))
            runtime.call("update", *options, mine).check()
            peer.call("update", *options, their).check()
            assert compared(ours) == compared(theirs), options
        assert len(values(ours)) >= 8
    finally:
        assert not peer.remove_all()


@limited
def test_from_standard_input_and_options_win(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    for option in (("--resources", "-"), ("--resources=-",), ("-r", "-")):
        with open(resources(sandbox, DOCKER), "rb") as file:
            runtime.call("update", *option, "--cpu-share", "99", container, stdin=file).check()
        assert values(made)[SHARES] == share(99)
        assert values(made)[MEMORY] == str(32 * MIB)
        runtime.call("update", "--cpu-share", "5", "--memory", "48M", container).check()


@limited
def test_extras_of_new_runc(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    runtime.call("update", "--cpu-quota", "50000", "--cpu-burst", "20000", container).check()
    assert values(made)[BURST] == "20000"
    # The burst has to go first now.
    runtime.call("update", "--cpu-quota", "10000", "--cpu-burst", "500", container).check()
    assert values(made)[BURST] == "500"
    runtime.call("update", "--cpu-quota", "-1", "--cpu-burst", "0", container).check()
    runtime.call("update", "--cpu-idle", "1", container).check()
    refused = runtime.call("update", "--cpu-share", "500", container)
    assert "an idle cgroup" in refused.stderr
    # The weight has to go last now.
    runtime.call("update", "--cpu-share", "500", "--cpu-idle", "0", container).check()
    assert (values(made)[SHARES], values(made)["cpu.idle"]) == (share(500), "0")
    weighed = runtime.call("update", "--blkio-weight", "321", container)
    found = values(made)
    if "io.weight" in found and "io.bfq.weight" not in found:
        assert found["io.weight"] == f"default {convert.io_weight(321)}"
    elif (file := "io.bfq.weight" if V2 else "blkio.bfq.weight") in found:
        assert "321" in found[file]
    else:  # without the bfq scheduler's module there are no weights
        assert_clear(runtime, weighed, "blkio.bfq.weight", "modprobe bfq")
    warned = runtime.call("update", "--kernel-memory", "9M", container).check()
    assert "memory.kernel is ignored" in warned.stderr


@limited
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cpuset-cpus", "900"), "cpuset.cpus = 900"),
        (
            ("--cpu-quota", "900000000000000000"),
            "cpu.max = 900000000000000000 50000" if V2 else "cpu.cfs_quota_us = 900000000000000000",
        ),
        (
            ("--memory-swap", "1M"),
            "memory.swap: 1048576" if V2 else "memory.memsw.limit_in_bytes = 1048576",
        ),
        (("--pids-limit", str(1 << 62)), "pids.max"),
        # v2 has no such refusal: it kills until the rest fits; `checkBeforeUpdate` is for that.
        pytest.param(
            ("--memory", "64k", "--memory-swap", "64k"),
            "memory",
            marks=pytest.mark.skipif(V2, reason="needs cgroup v1"),
        ),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(
    runtime: Runtime, bundle: MakeBundle, options: tuple[str, ...], words: str
) -> None:
    made = bundle(args=["sleep", "100"])
    made.set("/linux/resources/memory", {"limit": 64 * MIB, "swap": 96 * MIB})
    made.shell("x=$(dd if=/dev/zero bs=1M count=2 | tr '\\0' a); touch /ready; sleep 100; : $x")
    container = runtime.up(made)
    while not (made.rootfs / "ready").exists():
        pass
    before = values(made)
    others = ("--cpu-share", "77", "--cpu-period", "50000", "--memory-reservation", "9M")
    result = runtime.call("update", *others, *options, container)
    assert result.status == 1
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert values(made) == before
    assert runtime.status(container) == "running"


@limited
def test_check_before_update(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    wanted = {"memory": {"limit": 8192, "checkBeforeUpdate": True}}
    refused = runtime.call("update", "-r", resources(sandbox, wanted), container)
    assert not refused.ok
    assert "bytes are in use; raise the limit, or unset checkBeforeUpdate" in refused.stderr
    assert runtime.status(container) == "running"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--memory", "1x"), "--memory 1x: write bytes"),
        (("--memory", "-2"), "--memory -2: write bytes"),
        (("--memory", str(1 << 63)), f"--memory {1 << 63}: {1 << 63} is out of range (-1 to"),
        (("--memory", "9" * 20), "does not fit into 64 bits; write less"),
        (("--cpu-share", "many"), "--cpu-share many: not a number; write digits"),
        (("--cpu-share", "-1"), "--cpu-share -1: -1 is out of range (0 to"),
        (("--cpu-quota", "900"), "--cpu-quota 900: a quota of 900 us is too small"),
        (("--cpu-period", "2000000"), "--cpu-period 2000000: a period of 2000000 us is out of"),
        (("--cpuset-cpus", "0-"), '--cpuset-cpus 0-: "0-" is not a list of numbers'),
        (("--blkio-weight", "5"), "--blkio-weight 5: a weight of 5 is too small; use a number"),
        (("--blkio-weight", "5000"), "--blkio-weight 5000: 5000 is out of range (0 to 1000)"),
        (("--pids-limit", "x"), "--pids-limit x: not a number"),
        (("--l3-cache-schema", "L3:0=f"), "has no resctrl class"),
        (("-r", "/nowhere"), "--resources /nowhere: No such file or directory; correct its path"),
        (("-r", "/proc"), "--resources /proc: not a regular file; name a file of JSON text"),
        (("-r", "-"), "standard input:1:1: the text is empty"),
    ],
)
def test_mistakes(
    runtime: Runtime, bundle: MakeBundle, options: tuple[str, ...], words: str
) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    result = runtime.call("update", *options, container)
    assert result.status == 1
    assert words in result.stderr


def test_what_is_ignored_is_told(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    wanted = resources(sandbox, {"pids": {"limit": 50, "limits": 60}})
    done = runtime.call("update", "-r", wanted, container).check()
    assert "warning: " in done.stderr
    assert "pids/limits" in done.stderr


def test_bad_resources(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    for document, words in (
        ({"memory": {"limit": "a"}}, "/memory/limit"),
        ("[]", "not a JSON object"),
        ("{", "resources.json:1"),
        ({"blockIO": {"weight": 5}}, "/blockIO/weight: a weight of 5 is too small"),
        ({"rdma": {"mlx": {}}}, "/rdma/mlx: mlx has neither hcaHandles nor hcaObjects"),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, "hugepageLimits[0]"),
    ):
        result = runtime.call("update", "-r", resources(sandbox, document), container)
        assert result.status == 1
        assert words in result.stderr


def test_status(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.create(made).check().container
    for verb in ("start", "pause", "resume"):
        runtime.call("update", "--pids-limit", "50", container).check()
        runtime.call(verb, container).check()
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    stopped = runtime.call("update", "--pids-limit", "50", container)
    assert stopped.status == 1
    assert "container not running" in stopped.stderr
    assert "container does not exist" in runtime.call("update", "nobody").stderr


@limited
def test_devices(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    made = bundle().shell("mknod /kmsg c 1 11; while :; do sleep 0.01; done")
    made.add_capabilities("CAP_SYSLOG")
    container = runtime.up(made)
    kmsg = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}
    deny = {"allow": False, "access": "rwm"}
    try_it = ("sh", "-c", "until [ -e /kmsg ]; do :; done; : </kmsg")
    assert not runtime.exec(container, *try_it).ok
    runtime.call("update", "-r", resources(sandbox, {"devices": [deny, kmsg]}), container).check()
    runtime.exec(container, *try_it).check()
    # An engine that does not mean devices sends none.
    runtime.call("update", "-r", resources(sandbox, {"devices": []}), container).check()
    runtime.exec(container, *try_it).check()
    runtime.call("update", "-r", resources(sandbox, {"devices": [deny]}), container).check()
    assert not runtime.exec(container, *try_it).ok

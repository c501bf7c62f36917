"""config-linux.md: the limits of a cgroup, as its control files tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from conformance.control import place, remove, value
from conformance.registry import add, check
from conformance.trial import Trial

MIB = 1 << 20
UNLIMITED = {"max", "9223372036854771712", "9223372036854775807"}


def judge_file(
    t: Trial,
    sentence: str,
    resources: dict[str, Any],
    controller: str,
    v1: str,
    v2: str,
    good: Callable[[str], bool],
) -> None:
    """Create a container with these resources and judge what a control file says.

    `v1` and `v2` name the file there, "" where that version has none.
    """
    name = v2 if t.host.unified else v1
    t.need(name, f"cgroup {t.host.cgroup_version} has no file for it")
    bundle = t.bundle()
    root = t.host.controller(controller)
    t.need(root, f"no {controller} controller is mounted (cgroup {t.host.cgroup_version})")
    if not t.host.unified:
        t.need(Path(f"{root}/{name}").exists() or exists_below(t, root, name),
               f"this kernel has no {name}")  # fmt: skip
    bundle.resources.update(resources)
    container = t.up(bundle)
    path = place(t, container, controller) / name
    if t.host.unified and not path.exists() and (path.parent / "cgroup.controllers").exists():
        offered = (path.parent / "cgroup.controllers").read_text().split()
        t.need(controller not in offered, f"this kernel has no {name}")
    seen = value(path)
    t.expect(sentence, good(seen), f"{name}: {seen}")


def exists_below(t: Trial, root: Path | None, name: str) -> bool:
    """Tell whether a cgroup that is not the root has a file (some are only there)."""
    probe = Path(f"{root}/{t.prefix}-probe")
    probe.mkdir()
    try:
        return (probe / name).exists()
    finally:
        probe.rmdir()


def equals(*wanted: str) -> Callable[[str], bool]:
    """Return a test for one of these values."""
    return lambda seen: seen in wanted


def memory_values() -> dict[str, tuple[Any, ...]]:
    """Return sentence: resources, controller, file of v1, file of v2, test."""
    limit = {"limit": 64 * MIB}
    return {
        "memory.limit": ({"memory": limit}, "memory", "memory.limit_in_bytes", "memory.max",
                         equals(str(64 * MIB))),
        "memory.unlimited": ({"memory": {"limit": -1}}, "memory", "memory.limit_in_bytes",
                             "memory.max", equals(*UNLIMITED)),
        "memory.reservation": ({"memory": {**limit, "reservation": 32 * MIB}}, "memory",
                               "memory.soft_limit_in_bytes", "memory.low", equals(str(32 * MIB))),
        "memory.swap": ({"memory": {**limit, "swap": 96 * MIB}}, "memory",
                        "memory.memsw.limit_in_bytes", "memory.swap.max",
                        equals(str(96 * MIB), str(32 * MIB))),
        "memory.kernel-tcp": ({"memory": {**limit, "kernelTCP": 8 * MIB}}, "memory",
                              "memory.kmem.tcp.limit_in_bytes", "", equals(str(8 * MIB))),
        "memory.swappiness": ({"memory": {**limit, "swappiness": 12}}, "memory",
                              "memory.swappiness", "", equals("12")),
        "memory.oom-killer": ({"memory": {**limit, "disableOOMKiller": True}}, "memory",
                              "memory.oom_control", "",
                              lambda seen: seen.startswith("oom_kill_disable 1")),
        "memory.hierarchy": ({"memory": {**limit, "useHierarchy": True}}, "memory",
                             "memory.use_hierarchy", "", equals("1")),
    }  # fmt: skip


def cpu_values() -> dict[str, tuple[Any, ...]]:
    """Return the same for cpu, cpuset and pids."""
    quota = {"quota": 20_000, "period": 50_000}
    return {
        "cpu.shares": ({"cpu": {"shares": 512}}, "cpu", "cpu.shares", "cpu.weight",
                       lambda seen: seen == "512" or (seen.isdecimal() and 2 < int(seen) < 100)),
        "cpu.quota": ({"cpu": quota}, "cpu", "cpu.cfs_quota_us", "cpu.max",
                      equals("20000", "20000 50000")),
        "cpu.period": ({"cpu": quota}, "cpu", "cpu.cfs_period_us", "cpu.max",
                       equals("50000", "20000 50000")),
        "cpu.burst": ({"cpu": {**quota, "burst": 10_000}}, "cpu", "cpu.cfs_burst_us",
                      "cpu.max.burst", equals("10000")),
        "cpu.cpus": ({"cpu": {"cpus": "0"}}, "cpuset", "cpuset.cpus", "cpuset.cpus", equals("0")),
        "cpu.mems": ({"cpu": {"mems": "0"}}, "cpuset", "cpuset.mems", "cpuset.mems", equals("0")),
        "cpu.idle": ({"cpu": {"idle": 1}}, "cpu", "cpu.idle", "cpu.idle", equals("1")),
        "pids.limit": ({"pids": {"limit": 33}}, "pids", "pids.max", "pids.max", equals("33")),
        "pids.unlimited": ({"pids": {"limit": -1}}, "pids", "pids.max", "pids.max", equals("max")),
        "pids.zero": ({"pids": {"limit": 0}}, "pids", "pids.max", "pids.max", equals("0")),
        "network.class-id": ({"network": {"classID": 0x100001}}, "net_cls", "net_cls.classid", "",
                             equals(str(0x100001))),
        "network.priorities": ({"network": {"priorities": [{"name": "lo", "priority": 3}]}},
                               "net_prio", "net_prio.ifpriomap", "",
                               lambda seen: "lo 3" in seen),
    }  # fmt: skip


def block_value(t: Trial, sentence: str, name: str, v1: str, key: str) -> None:
    """Limit the first disk, or give it a weight."""
    device = t.host.block_device
    t.need(device, "there is no disk in /sys/block (vda, sda, nvme0n1, xvda)")
    major, minor = device or (0, 0)
    number = f"{major}:{minor}"
    if sentence == "block-io.weight":
        resources: dict[str, Any] = {"weight": 500}
    elif sentence == "block-io.weight-device":
        scheduler = Path(f"/sys/dev/block/{number}/queue/scheduler")
        weighs = scheduler.exists() and "[bfq]" in scheduler.read_text()
        t.need(weighs, f"the disk's I/O scheduler is not bfq: {value(scheduler)}")
        resources = {"weightDevice": [{"major": major, "minor": minor, "weight": 300}]}
    else:
        resources = {name: [{"major": major, "minor": minor, "rate": 4 * MIB}]}
    wanted = f"{key}={4 * MIB}" if t.host.unified else f"{number} {4 * MIB}"
    v2 = "io.max"
    good: Callable[[str], bool] = lambda seen: seen.startswith(number) and wanted in seen  # noqa: E731
    if "weight" in sentence:
        v1, v2 = "blkio.bfq.weight", "io.weight"
        good = lambda seen: seen.split()[-1] != "100" and seen[-1].isdecimal()  # noqa: E731
    judge_file(t, sentence, {"blockIO": resources}, "io", v1, v2, good)


@check("cpu.realtime-runtime", "cpu.realtime-period")
def realtime(t: Trial) -> None:
    """Gives a cgroup time for real-time processes, below one that has some."""
    root = t.host.controller("cpu")
    t.need(root and (root / "cpu.rt_runtime_us").exists(), "the kernel has no cpu.rt_runtime_us")
    bundle = t.bundle()
    parent = f"/{t.prefix}-rt"
    t.make_cgroup(Path(f"{root}{parent}"))
    Path(f"{root}{parent}/cpu.rt_runtime_us").write_text("20000")
    bundle.linux["cgroupsPath"] = f"{parent}/{bundle.path.name}"
    bundle.resources["cpu"] = {"realtimeRuntime": 5000, "realtimePeriod": 500_000}
    container = t.create(bundle)
    path = place(t, container, "cpu")
    for sentence, name, wanted in (
        ("cpu.realtime-runtime", "cpu.rt_runtime_us", "5000"),
        ("cpu.realtime-period", "cpu.rt_period_us", "500000"),
    ):
        seen = value(path / name)
        t.expect(sentence, seen == wanted, f"{name}: {seen}")
    container.delete("--force")
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        remove(Path(f"{hierarchy}{parent}"))


@check("cpu.burst-above-quota")
def burst_above_quota(t: Trial) -> None:
    """Asks for a burst above the quota: refused, or not what the cgroup has."""
    root = t.host.controller("cpu")
    t.need(root, "no cpu controller is mounted")
    bundle = t.bundle()
    bundle.resources["cpu"] = {"quota": 20_000, "period": 50_000, "burst": 40_000}
    result = t.attempt_create(bundle, bundle.path.name)
    if not result.ok:
        t.expect("cpu.burst-above-quota", result.refused, result.text)
        return
    container = t.adopt(bundle.path.name, bundle)
    name = "cpu.max.burst" if t.host.unified else "cpu.cfs_burst_us"
    seen = value(place(t, container, "cpu") / name)
    t.expect("cpu.burst-above-quota", seen != "40000", f"{name}: {seen}")


@check("huge-pages.limit", "huge-pages.page-size")
def huge_pages(t: Trial) -> None:
    """Limits pages of 2 MB, and of a size that does not exist."""
    root = t.host.controller("hugetlb")
    t.need(root, f"no hugetlb controller is mounted (cgroup {t.host.cgroup_version})")
    bundle = t.bundle()
    bundle.resources["hugepageLimits"] = [{"pageSize": "2MB", "limit": 8 * MIB}]
    path = place(t, t.up(bundle), "hugetlb")
    ending = "max" if t.host.unified else "limit_in_bytes"
    name = f"hugetlb.2MB.rsvd.{ending}"
    seen = value(path / name) if (path / name).exists() else value(path / f"hugetlb.2MB.{ending}")
    t.expect("huge-pages.limit", seen == str(8 * MIB), f"{name}: {seen}")
    bundle = t.bundle()
    bundle.resources["hugepageLimits"] = [{"pageSize": "3MB", "limit": 8 * MIB}]
    t.refuses("huge-pages.page-size", bundle, at="create", what="3MB")


@check("rdma.limit")
def rdma(t: Trial) -> None:
    """Limits the handles of the first RDMA device of the host."""
    devices = sorted(Path("/sys/class/infiniband").glob("*"))
    t.need(devices, "the host has no RDMA device (/sys/class/infiniband)")
    resources = {"rdma": {devices[0].name: {"hcaHandles": 3}}}
    judge_file(t, "rdma.limit", resources, "rdma", "rdma.max", "rdma.max",
               lambda seen: "hca_handle=3" in seen)  # fmt: skip


def _register() -> None:
    for sentence, row in {**memory_values(), **cpu_values()}.items():
        did = f"Sets {row[0]} and reads the control file."
        keys = ("resources", "controller", "v1", "v2", "good")
        function = partial(judge_file, sentence=sentence, **dict(zip(keys, row, strict=True)))
        add(f"resources.value[{sentence}]", [sentence], did, function)
    for sentence, name, v1, key in (
        ("block-io.weight", "weight", "", ""),
        ("block-io.weight-device", "weightDevice", "", ""),
        ("block-io.read-bps", "throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
        ("block-io.write-bps", "throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
        ("block-io.read-iops", "throttleReadIOPSDevice", "blkio.throttle.read_iops_device",
         "riops"),
        ("block-io.write-iops", "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device",
         "wiops"),
    ):  # fmt: skip
        did = f"Sets blockIO.{name} for the first disk and reads the control file."
        function = partial(block_value, sentence=sentence, name=name, v1=v1, key=key)
        add(f"resources.block[{name}]", [sentence], did, function)


_register()

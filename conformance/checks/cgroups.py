"""config-linux.md: where a container's cgroup is, whose it is, and the values in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from conformance.container import Container
from conformance.registry import add, check
from conformance.trial import CGROUP_PARENT, Trial

MIB = 1 << 20
UNLIMITED = {"max", "9223372036854771712", "9223372036854775807"}


def place(t: Trial, container: Container, controller: str) -> Path:
    """Return the directory of a controller for a container; skips without the controller."""
    root = t.host.controller(controller)
    t.need(root, f"no {controller} controller is mounted (cgroup {t.host.cgroup_version})")
    wanted = "blkio" if controller == "io" and not t.host.unified else controller
    for line in container.proc("cgroup").splitlines():
        number, names, path = line.split(":", 2)
        if wanted in names.split(",") or (t.host.unified and number == "0"):
            return Path(f"{root}{path}")
    raise AssertionError(f"/proc/PID/cgroup has no {controller}")


def value(path: Path) -> str:
    """Return a control file's content, blanks and line feeds made one blank."""
    try:
        return " ".join(path.read_text().split())
    except OSError as error:
        return f"{path.name}: {error.strerror}"


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
        good = lambda seen: seen.split()[-1] != "100" and seen[:1].isalnum()  # noqa: E731
    judge_file(t, sentence, {"blockIO": resources}, "io", v1, v2, good)


@check("cgroups.path-absolute", "cgroups.path-created", "cgroups.path-consistent")
def absolute_path(t: Trial) -> None:
    """Uses one absolute cgroupsPath, of two new levels, for two containers after each other."""
    bundle = t.bundle()
    path = f"/{CGROUP_PARENT}/{bundle.path.name}/inner"
    bundle.linux["cgroupsPath"] = path
    seen = []
    for _ in range(2):
        container = t.create(bundle)
        seen.append(place(t, container, "pids"))
        container.delete("--force")
    root = t.host.controller("pids")
    wanted = Path(f"{root}{path}")
    t.expect("cgroups.path-absolute", seen[0] == wanted, f"{path}: {seen[0]}")
    t.expect("cgroups.path-created", seen[0] == wanted, "its two levels were made")
    t.expect("cgroups.path-consistent", seen[0] == seen[1], f"both times {seen[1]}")
    for directory in (wanted, wanted.parent):
        for hierarchy in {root, *Path("/sys/fs/cgroup").iterdir()}:
            empty = Path(str(directory).replace(str(root), str(hierarchy), 1))
            if empty.is_dir():
                t.closers.append(partial(remove, empty))


def remove(path: Path) -> None:
    """Remove a cgroup that stays by design: parents of a container's are nobody's."""
    try:
        path.rmdir()
    except OSError:
        return


@check("cgroups.path-relative", "cgroups.path-unset")
def relative_path(t: Trial) -> None:
    """Uses a relative cgroupsPath, and none."""
    bundle = t.bundle()
    bundle.linux["cgroupsPath"] = f"{bundle.path.name}-relative"
    seen = place(t, t.up(bundle), "pids")
    named = f"{bundle.path.name}-relative" in str(seen)
    t.expect("cgroups.path-relative", named, f"relative: {seen}")
    bundle = t.bundle()
    del bundle.linux["cgroupsPath"]
    container = t.up(bundle)
    t.expect("cgroups.path-unset", container.proc("cgroup"), f"{place(t, container, 'pids')}")


def owners(t: Trial, *, namespace: bool, options: list[str]) -> tuple[Container, Path, set[str]]:
    """Run a container with a user namespace; return its cgroup, and what in it is not root's."""
    bundle = t.bundle()
    bundle.user_namespace()
    if namespace:
        bundle.namespace("cgroup")
    bundle.namespace("network")
    bundle.mount("/sys", "sysfs", options=["ro"])
    bundle.mount("/sys/fs/cgroup", "cgroup", options=options)
    container = t.up(bundle)
    path = place(t, container, "pids")
    changed = {name for name in os.listdir(path) if (path / name).stat().st_uid != 0}
    if path.stat().st_uid != 0:
        changed.add(".")
    return container, path, changed


@check("cgroups.owner-v1")
def owner_v1(t: Trial) -> None:
    """Runs in user and cgroup namespaces with a writable cgroup mount, on cgroup v1."""
    t.need(not t.host.unified, "cgroup v2 is mounted")
    _, _, changed = owners(t, namespace=True, options=["nosuid"])
    t.expect("cgroups.owner-v1", not changed, f"not root's: {sorted(changed)}")


@check("cgroups.owner-no-namespace", "cgroups.owner-read-only")
def owner_unchanged(t: Trial) -> None:
    """Runs in a user namespace without a cgroup namespace, and with a read-only cgroup mount."""
    t.need(t.host.unified, "cgroup v1: owners are never changed there (cgroups.owner-v1)")
    _, _, changed = owners(t, namespace=False, options=["nosuid"])
    t.expect("cgroups.owner-no-namespace", not changed, f"not root's: {sorted(changed)}")
    _, _, changed = owners(t, namespace=True, options=["ro"])
    t.expect("cgroups.owner-read-only", not changed, f"not root's: {sorted(changed)}")


@check("cgroups.owner-read-write", "cgroups.owner-files", "cgroups.owner-missing-files")
def owner_changed(t: Trial) -> None:
    """Runs in user and cgroup namespaces with a writable cgroup mount, on cgroup v2."""
    t.need(t.host.unified, "cgroup v1: owners are never changed there (cgroups.owner-v1)")
    _, path, changed = owners(t, namespace=True, options=["rw"])
    listed = Path("/sys/kernel/cgroup/delegate").read_text().split()
    there = {name for name in listed if (path / name).exists()}
    t.expect("cgroups.owner-read-write", "." in changed, f"not root's: {sorted(changed)}")
    extra = changed - there - {"."}
    t.expect("cgroups.owner-files", not extra, f"beyond the list: {sorted(extra)}")
    t.expect("cgroups.owner-missing-files", True, f"{len(there)} of {len(listed)} listed are there")


@check("allow-list.order", "allow-list.allow", "allow-list.type-unset", "allow-list.numbers-unset",
       "allow-list.access")  # fmt: skip
def allowed_devices(t: Trial) -> None:
    """Opens a block device under five lists: denied, allowed, in both orders, and in general."""
    t.need(t.host.unified or t.host.controller("devices"), "no devices controller is mounted")
    deny = {"allow": False, "access": "rwm"}
    mine = {"allow": True, "type": "b", "major": 7, "minor": 3, "access": "rwm"}
    rows = (
        ("allow-list.allow", "denied", [deny], "rw"),
        ("allow-list.allow", "allowed", [deny, mine], ""),
        ("allow-list.order", "allowed, then all denied", [mine, deny], "rw"),
        ("allow-list.access", "to be read", [deny, {**mine, "access": "r"}], "w"),
        ("allow-list.type-unset", "all types", [deny, {"allow": True, "access": "rwm"}], ""),
        ("allow-list.numbers-unset", "all minors",
         [deny, {"allow": True, "type": "b", "major": 7, "access": "rwm"}], ""),
    )  # fmt: skip
    script = (
        "dd if=/dev/mine of=/dev/null count=0 2>&1 | sed 's/^/r /';"
        "dd if=/dev/null of=/dev/mine count=0 conv=notrunc 2>&1 | sed 's/^/w /'"
    )
    for sentence, what, rules, refused in rows:
        bundle = t.bundle(script)
        bundle.linux["devices"] = [
            {"type": "b", "path": "/dev/mine", "major": 7, "minor": 3, "fileMode": 0o666}
        ]
        bundle.resources["devices"] = rules
        lines = t.output(bundle).splitlines()
        seen = "".join(way for way in "rw" if any(
            line.startswith(way) and "not permitted" in line for line in lines))  # fmt: skip
        t.expect(sentence, seen == refused, f"{what}: refused are {seen or 'none'}")


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


@check("unified.no-controller")
def unified_without_its_controller(t: Trial) -> None:
    """Sets keys of unified whose controller does not exist, or hangs in a v1 hierarchy."""
    keys = {"nosuchcontroller.max": "1"}
    if not t.host.unified:
        keys["memory.high"] = "100000000"
    for key, text in keys.items():
        bundle = t.bundle()
        bundle.resources["unified"] = {key: text}
        t.refuses("unified.no-controller", bundle, at="create", what=key)


@check("unified.controllers", "unified.unknown")
def unified_values(t: Trial) -> None:
    """Sets keys of unified, among them one that no runtime has a name for."""
    t.need(t.host.unified, "cgroup v1 is mounted")
    bundle = t.bundle()
    bundle.resources["unified"] = {"memory.oom.group": "1", "pids.max": "44"}
    path = place(t, t.up(bundle), "pids")
    seen = value(path / "memory.oom.group")
    t.expect("unified.unknown", seen == "1", f"memory.oom.group: {seen}")
    enabled = value(path / "cgroup.controllers").split()
    t.expect("unified.controllers", {"memory", "pids"} <= set(enabled), f"{enabled}")
    seen = value(path / "pids.max")
    t.expect("unified.controllers", seen == "44", f"pids.max: {seen}")


@check("unified.conversion")
def conversion_that_is_impossible(t: Trial) -> None:
    """Sets values of cgroup v1 on v2 that v2 has nothing for."""
    t.need(t.host.unified, "cgroup v1 is mounted")
    for resources in (
        {"cpu": {"realtimeRuntime": 5000, "realtimePeriod": 500_000}},
        {"network": {"classID": 0x100001}},
    ):
        bundle = t.bundle()
        bundle.resources.update(resources)
        t.refuses("unified.conversion", bundle, at="create", what=str(resources))


def _register() -> None:
    for sentence, row in {**memory_values(), **cpu_values()}.items():
        did = f"Sets {row[0]} and reads the control file."
        keys = ("resources", "controller", "v1", "v2", "good")
        function = partial(judge_file, sentence=sentence, **dict(zip(keys, row, strict=True)))
        add(f"cgroups.value[{sentence}]", [sentence], did, function)
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
        add(f"cgroups.block[{name}]", [sentence], did, function)


_register()

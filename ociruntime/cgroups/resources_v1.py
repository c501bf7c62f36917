"""``linux.resources`` as values for the files of cgroup v1.

Sources: config-linux.md, "Control groups"; Documentation/admin-guide/cgroup-v1/ of the kernel.
Pure: what is not possible on v1 is a ``PlanError``, never silence. A 0 for shares, quota, period,
weight and memory amounts means "not set": dockerd writes it for everything its user did not ask
for, and the kernel would take it as "least possible".
"""

from __future__ import annotations

from ociruntime.cgroups.setting import EARLY, Setting
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Section = dict[str, Any]

ROOT = "/linux/resources"

# memory: key of the config -> file.
MEMORY = {
    "limit": "memory.limit_in_bytes",
    "swap": "memory.memsw.limit_in_bytes",
    "reservation": "memory.soft_limit_in_bytes",
    "kernelTCP": "memory.kmem.tcp.limit_in_bytes",
}
# cpu: key -> (file, when), in the order of writing; the burst may not be above the quota of the
# moment.
CPU = {
    "cpus": "cpuset.cpus",
    "mems": "cpuset.mems",
    "realtimePeriod": "cpu.rt_period_us",
    "realtimeRuntime": "cpu.rt_runtime_us",
    "shares": "cpu.shares",
    "period": "cpu.cfs_period_us",
    "quota": "cpu.cfs_quota_us",
    "burst": "cpu.cfs_burst_us",
    "idle": "cpu.idle",
}
CPU_EARLY = ("cpus", "mems", "realtimePeriod", "realtimeRuntime")
# What the kernel would silently make of another number (sched.h, MIN_SHARES and MAX_SHARES).
MIN_SHARES, MAX_SHARES = 2, 262144
# 0 is a value of its own only for these.
CPU_ZERO = ("burst", "idle", "realtimeRuntime")
THROTTLE = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}


def settings_v1(resources: Section, warnings: list[str]) -> list[Setting]:
    """The settings in the order of writing; devices apart (``devices``). Raises ``PlanError``.

    ``warnings`` collects what is ignored on purpose.
    """
    return [
        *cpu(resources.get("cpu") or {}),
        *memory(resources.get("memory") or {}, warnings),
        *pids(resources.get("pids") or {}),
        *block_io(resources.get("blockIO") or {}),
        *huge_pages(resources.get("hugepageLimits") or []),
        *network(resources.get("network") or {}),
        *rdma(resources.get("rdma") or {}),
        *unified(resources.get("unified") or {}),
    ]


def cpu(section: Section) -> list[Setting]:
    """Settings of cpu and cpuset."""
    refuse_shares(section.get("shares") or MIN_SHARES)
    found = []
    for key, file in CPU.items():
        value = section.get(key)
        if value is None or value == "" or (value == 0 and key not in CPU_ZERO):
            continue
        controller = file.partition(".")[0]
        pointer = f"{ROOT}/cpu/{key}"
        if key in CPU_EARLY:
            found.append(Setting(controller, file, str(value), pointer, phase=EARLY))
        else:
            found.append(Setting(controller, file, str(value), pointer))
    return found


def refuse_shares(shares: int) -> None:
    """Shares that the kernel would take for others, in words that callers of runc look for."""
    if shares < MIN_SHARES:
        bound = f"the minimum allowed cpu-shares is {MIN_SHARES}"
    elif shares > MAX_SHARES:
        bound = f"the maximum allowed cpu-shares is {MAX_SHARES}"
    else:
        return
    pointer = f"{ROOT}/cpu/shares"
    raise PlanError(f"linux.resources.cpu.shares: {shares}: {bound}", pointer, "correct it")


def memory(section: Section, warnings: list[str]) -> list[Setting]:
    """memory; limit and swap stand together, ``GroupV1.apply`` decides which one goes first."""
    values = dict(section)
    if values.get("limit") == -1 and not values.get("swap"):
        values["swap"] = -1  # the limit can only be lifted together with the one that includes swap
    found = []
    for key, file in MEMORY.items():
        value = values.get(key)
        if value:
            given = key if section.get(key) else "limit"
            optional = key == "swap" and value == -1
            found.append(
                Setting("memory", file, str(value), f"{ROOT}/memory/{given}", optional=optional)
            )
    found += memory_flags(values)
    memory_ignored(section, warnings)
    return found


def memory_flags(section: Section) -> list[Setting]:
    """Settings for swappiness and disableOOMKiller."""
    found = []
    if section.get("swappiness") is not None:
        value = str(section["swappiness"])
        found.append(Setting("memory", "memory.swappiness", value, f"{ROOT}/memory/swappiness"))
    if section.get("disableOOMKiller"):
        pointer = f"{ROOT}/memory/disableOOMKiller"
        found.append(Setting("memory", "memory.oom_control", "1", pointer))
    return found


def memory_ignored(section: Section, warnings: list[str]) -> None:
    """Settings that no kernel we run on has (any more), for both versions."""
    if section.get("kernel"):
        warnings.append(
            "linux.resources.memory.kernel is ignored: kernels have no limit for their own memory "
            "any more, it counts towards memory.limit"
        )
    if section.get("useHierarchy") is False:
        warnings.append(
            "linux.resources.memory.useHierarchy is ignored: memory is accounted by hierarchy"
        )


def pids(section: Section) -> list[Setting]:
    """pids: a negative limit is none; 0 is one like any other, which lets nothing be forked
    (config-linux.md#pids).
    """
    value = section.get("limit")
    if value is None:
        return []
    text = "max" if value < 0 else str(value)
    return [Setting("pids", "pids.max", text, f"{ROOT}/pids/limit")]


def block_io(section: Section) -> list[Setting]:
    """blkio: weights are in the bfq scheduler's files; throttling works with every scheduler."""
    base = f"{ROOT}/blockIO"
    refuse_leaf_weight(section)
    found = []
    if section.get("weight"):
        found.append(_weight(str(section["weight"]), f"{base}/weight", ""))
    for index, entry in enumerate(section.get("weightDevice") or []):
        if entry.get("weight"):
            value = f"{entry['major']}:{entry['minor']} {entry['weight']}"
            found.append(_weight(value, f"{base}/weightDevice/{index}", "_device"))
    for key, file in THROTTLE.items():
        for index, entry in enumerate(section.get(key) or []):
            value = f"{entry['major']}:{entry['minor']} {entry['rate']}"
            found.append(Setting("blkio", file, value, f"{base}/{key}/{index}"))
    return found


def _weight(value: str, pointer: str, suffix: str) -> Setting:
    bfq, plain = f"blkio.bfq.weight{suffix}", f"blkio.weight{suffix}"
    return Setting("blkio", bfq, value, pointer, other_file=plain, other_value=value)


def refuse_leaf_weight(section: Section) -> None:
    """Leaf weights went away with the CFQ scheduler (Linux 5.0), on both versions."""
    found = [("leafWeight", section)] if section.get("leafWeight") else []
    for index, entry in enumerate(section.get("weightDevice") or []):
        if entry.get("leafWeight"):
            found.append((f"weightDevice/{index}/leafWeight", entry))
    for name, entry in found:
        raise PlanError(
            f"linux.resources.blockIO: leafWeight {entry['leafWeight']} needs the CFQ scheduler, "
            "which Linux 5.0 removed",
            f"{ROOT}/blockIO/{name}",
            "remove leafWeight, use weight",
        )


def huge_pages(section: list[Section]) -> list[Setting]:
    """hugetlb: both the use and, where the kernel counts it (5.7), the reservation are limited."""
    found = []
    for index, entry in enumerate(section):
        pointer = f"{ROOT}/hugepageLimits/{index}"
        value, prefix = str(entry["limit"]), f"hugetlb.{entry['pageSize']}"
        found.append(Setting("hugetlb", f"{prefix}.limit_in_bytes", value, pointer))
        found.append(
            Setting("hugetlb", f"{prefix}.rsvd.limit_in_bytes", value, pointer, optional=True)
        )
    return found


def network(section: Section) -> list[Setting]:
    """net_cls and net_prio."""
    found = []
    if section.get("classID"):
        pointer = f"{ROOT}/network/classID"
        found.append(Setting("net_cls", "net_cls.classid", str(section["classID"]), pointer))
    for index, entry in enumerate(section.get("priorities") or []):
        value = f"{entry['name']} {entry['priority']}"
        pointer = f"{ROOT}/network/priorities/{index}"
        found.append(Setting("net_prio", "net_prio.ifpriomap", value, pointer))
    return found


def rdma(section: Section) -> list[Setting]:
    """rdma: the same file and words on both versions; one write for each device."""
    found = []
    for device, entry in section.items():
        words = [device]
        if entry.get("hcaHandles") is not None:
            words.append(f"hca_handle={entry['hcaHandles']}")
        if entry.get("hcaObjects") is not None:
            words.append(f"hca_object={entry['hcaObjects']}")
        if len(words) > 1:
            found.append(Setting("rdma", "rdma.max", " ".join(words), f"{ROOT}/rdma/{device}"))
    return found


def unified(section: Section) -> list[Setting]:
    """Files of cgroup v2 do not exist here."""
    for key in section:
        raise PlanError(
            f"linux.resources.unified: {key} is a file of cgroup v2, and this host uses cgroup v1",
            f"{ROOT}/unified/{key}",
            "use the other members of linux.resources",
        )
    return []

"""``linux.resources`` as values for the files of cgroup v1.

Sources: config-linux.md, "Control groups"; Documentation/admin-guide/cgroup-v1/ of the kernel.
Pure: what is not possible on v1 is a ``PlanError``, never silence. A 0 for shares, quota, period,
weight and memory amounts means "not set": dockerd writes it for everything its user did not ask
for, and the kernel would take it as "least possible".
"""

from __future__ import annotations

from ociruntime.cgroups.sections import (
    MIN_SHARES,
    ROOT,
    huge_pages,
    memory_ignored,
    pids,
    rdma,
    refuse_leaf_weight,
    refuse_shares,
)
from ociruntime.cgroups.setting import EARLY, Setting
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ociruntime.spec.documents import (
        ResourcesBlockIOConfig,
        ResourcesConfig,
        ResourcesCpuConfig,
        ResourcesMemoryConfig,
        ResourcesNetworkConfig,
    )


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
# 0 is a value of its own only for these.
CPU_ZERO = ("burst", "idle", "realtimeRuntime")
THROTTLE = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}
# How the files of hugetlb end.
HUGE_PAGES = "limit_in_bytes"


def settings_v1(resources: ResourcesConfig, warnings: list[str]) -> list[Setting]:
    """The settings in the order of writing; devices apart (``devices``). Raises ``PlanError``.

    ``warnings`` collects what is ignored on purpose.
    """
    return [
        *cpu(resources.get("cpu") or {}),
        *memory(resources.get("memory") or {}, warnings),
        *pids(resources.get("pids") or {}),
        *block_io(resources.get("blockIO") or {}),
        *huge_pages(resources.get("hugepageLimits") or [], HUGE_PAGES),
        *network(resources.get("network") or {}),
        *rdma(resources.get("rdma") or {}),
        *unified(resources.get("unified") or {}),
    ]


def cpu(section: ResourcesCpuConfig) -> list[Setting]:
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


def memory(section: ResourcesMemoryConfig, warnings: list[str]) -> list[Setting]:
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
    found += memory_flags(section)
    memory_ignored(section, warnings)
    return found


def memory_flags(section: ResourcesMemoryConfig) -> list[Setting]:
    """Settings for swappiness and disableOOMKiller."""
    found = []
    if section.get("swappiness") is not None:
        value = str(section["swappiness"])
        found.append(Setting("memory", "memory.swappiness", value, f"{ROOT}/memory/swappiness"))
    if section.get("disableOOMKiller"):
        pointer = f"{ROOT}/memory/disableOOMKiller"
        found.append(Setting("memory", "memory.oom_control", "1", pointer))
    return found


def block_io(section: ResourcesBlockIOConfig) -> list[Setting]:
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
    throttles: Mapping[str, Any] = section
    for key, file in THROTTLE.items():
        for index, entry in enumerate(throttles.get(key) or []):
            value = f"{entry['major']}:{entry['minor']} {entry['rate']}"
            found.append(Setting("blkio", file, value, f"{base}/{key}/{index}"))
    return found


def _weight(value: str, pointer: str, suffix: str) -> Setting:
    bfq, plain = f"blkio.bfq.weight{suffix}", f"blkio.weight{suffix}"
    return Setting("blkio", bfq, value, pointer, other_file=plain, other_value=value)


def network(section: ResourcesNetworkConfig) -> list[Setting]:
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


def unified(section: dict[str, str]) -> list[Setting]:
    """Files of cgroup v2 do not exist here."""
    for key in section:
        raise PlanError(
            f"linux.resources.unified: {key} is a file of cgroup v2, and this host uses cgroup v1",
            f"{ROOT}/unified/{key}",
            "use the other members of linux.resources",
        )
    return []

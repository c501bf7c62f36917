"""``linux.resources`` as values for the files of cgroup v2.

Sources: config-linux.md, "Control groups" (a value that cannot be converted MUST be an error);
Documentation/admin-guide/cgroup-v2.rst, "Controllers". Pure: the sections that v1 and v2 share are
in
``sections``, the arithmetic is in ``convert``. Zero means "not set" as explained there.
"""

from __future__ import annotations

from ociruntime.cgroups.sections import (
    ROOT,
    huge_pages,
    memory_ignored,
    pids,
    rdma,
    refuse_leaf_weight,
)
from ociruntime.cgroups.setting import EARLY, Setting
from ociruntime.cgroups.v2 import convert
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


# blockIO: key -> the key in io.max.
THROTTLE = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}
# How the files of hugetlb end.
HUGE_PAGES = "max"


def settings_v2(resources: ResourcesConfig, warnings: list[str]) -> list[Setting]:
    """The settings in the order of writing; devices apart (``bpf``). Raises ``PlanError``.

    ``unified`` comes last: what it says wins over what was converted.
    """
    refuse_network(resources.get("network") or {})
    return [
        *cpu(resources.get("cpu") or {}),
        *memory(resources.get("memory") or {}, warnings),
        *pids(resources.get("pids") or {}),
        *block_io(resources.get("blockIO") or {}),
        *huge_pages(resources.get("hugepageLimits") or [], HUGE_PAGES),
        *rdma(resources.get("rdma") or {}),
        *unified(resources.get("unified") or {}),
    ]


def cpu(section: ResourcesCpuConfig) -> list[Setting]:
    """Settings of cpu and cpuset."""
    base = f"{ROOT}/cpu"
    for key in ("realtimePeriod", "realtimeRuntime"):
        if section.get(key):
            raise PlanError(
                f"linux.resources.cpu.{key}: cgroup v2 has no budget for real-time processes",
                f"{base}/{key}",
                "remove it; real-time processes then run as on the host",
            )
    found = []
    for key, value in (("cpus", section.get("cpus")), ("mems", section.get("mems"))):
        if value:
            file, pointer = f"cpuset.{key}", f"{base}/{key}"
            found.append(Setting("cpuset", file, value, pointer, phase=EARLY))
    if section.get("shares"):
        weight = str(convert.cpu_weight(section["shares"]))
        found.append(Setting("cpu", "cpu.weight", weight, f"{base}/shares"))
    quota, period = section.get("quota"), section.get("period")
    if quota or period:
        value, pointer = convert.cpu_max(quota, period), f"{base}/{'quota' if quota else 'period'}"
        found.append(Setting("cpu", "cpu.max", value, pointer))
    if section.get("burst") is not None:
        found.append(Setting("cpu", "cpu.max.burst", str(section["burst"]), f"{base}/burst"))
    if section.get("idle") is not None:
        found.append(Setting("cpu", "cpu.idle", str(section["idle"]), f"{base}/idle"))
    return found


def memory(section: ResourcesMemoryConfig, warnings: list[str]) -> list[Setting]:
    """memory; swap is a limit of its own on v2, v1's includes memory."""
    base = f"{ROOT}/memory"
    refused = {
        "swappiness": ("is only a setting of the whole host (vm.swappiness)", None),
        "disableOOMKiller": ("cannot be switched off", False),
    }
    for key, (why, harmless) in refused.items():
        given = section.get(key)
        if given is not None and given is not harmless:
            raise PlanError(
                f"linux.resources.memory.{key}: on cgroup v2 it {why}", f"{base}/{key}", "remove it"
            )
    found = []
    limit = section.get("limit")
    swap = convert.swap_max(limit, section.get("swap"))
    if swap is not None:
        # A kernel that does not account swap has no file, and nothing to limit.
        pointer = f"{base}/swap" if section.get("swap") else f"{base}/limit"
        optional = swap in (0, convert.UNLIMITED)
        value = convert.limit(swap)
        found.append(Setting("memory", "memory.swap.max", value, pointer, optional=optional))
    if limit:
        found.append(Setting("memory", "memory.max", convert.limit(limit), f"{base}/limit"))
    if section.get("reservation"):
        value = convert.limit(section["reservation"])
        found.append(Setting("memory", "memory.low", value, f"{base}/reservation"))
    if section.get("kernelTCP"):
        warnings.append(
            "linux.resources.memory.kernelTCP is ignored: cgroup v2 counts it towards memory.limit"
        )
    memory_ignored(section, warnings)
    return found


def block_io(section: ResourcesBlockIOConfig) -> list[Setting]:
    """io: the bfq scheduler's weight where it is in use, else the general one."""
    base = f"{ROOT}/blockIO"
    refuse_leaf_weight(section)
    found = []
    if section.get("weight"):
        found.append(_weight("", section["weight"], f"{base}/weight"))
    for index, entry in enumerate(section.get("weightDevice") or []):
        if entry.get("weight"):
            device = f"{entry['major']}:{entry['minor']} "
            found.append(_weight(device, entry["weight"], f"{base}/weightDevice/{index}"))
    throttles: Mapping[str, Any] = section
    for key, name in THROTTLE.items():
        for index, entry in enumerate(throttles.get(key) or []):
            rate = entry["rate"] or "max"
            value = f"{entry['major']}:{entry['minor']} {name}={rate}"
            found.append(Setting("io", "io.max", value, f"{base}/{key}/{index}"))
    return found


def _weight(device: str, weight: int, pointer: str) -> Setting:
    return Setting(
        "io",
        "io.bfq.weight",
        f"{device}{weight}",
        pointer,
        other_file="io.weight",
        other_value=f"{device or 'default '}{convert.io_weight(weight)}",
    )


def refuse_network(section: ResourcesNetworkConfig) -> None:
    """Neither net_cls nor net_prio exist on v2: nftables and eBPF tell packets by cgroup."""
    for key in ("classID", "priorities"):
        if section.get(key):
            raise PlanError(
                f"linux.resources.network.{key}: cgroup v2 does not have it",
                f"{ROOT}/network/{key}",
                "remove it; packets can be matched by cgroup in nftables",
            )


def unified(section: dict[str, str]) -> list[Setting]:
    """Files by name, known or not; several lines are written one by one, as io.max and the like
    want it.
    """
    found = []
    for file, text in section.items():
        pointer = f"{ROOT}/unified/{file}"
        if "/" in file or "." not in file or file.startswith("."):
            raise PlanError(
                f"linux.resources.unified: {file!r} is not the name of a file of a controller",
                pointer,
                "use a name such as memory.high",
            )
        controller = file.partition(".")[0]
        controller = "" if controller == "cgroup" else controller
        lines = [line for line in text.split("\n") if line]
        found += [Setting(controller, file, line, pointer) for line in lines]
    return found

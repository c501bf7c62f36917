"""Rules of config-linux.md about control groups (hot path)."""

from __future__ import annotations

from ociruntime.jsontext import token
from ociruntime.spec.fault import WARNING, Fault, is_kernel_list

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import (
        ResourcesBlockIOConfig,
        ResourcesConfig,
        ResourcesCpuConfig,
        ResourcesMemoryConfig,
        WeightDeviceConfig,
    )
    from ociruntime.spec.fault import Facts

_CGROUPS = "config-linux.md"
_WEIGHT_MIN = 10
_PERIOD_MIN, _PERIOD_MAX = 1000, 1000000
_PLACE = "/linux/resources"
NO_KERNEL_LIMIT = "kernel is ignored: kernels have no separate limit for it any more"


def cgroups_path(facts: Facts) -> list[Fault]:
    """The path may not climb."""
    path = facts.linux.get("cgroupsPath", "")
    if ".." not in path.split("/"):
        return []
    return [
        Fault(
            "/linux/cgroupsPath",
            path,
            'cgroupsPath has a ".."',
            f"{_CGROUPS}#cgroups-path: the path is below the cgroup mount point",
            "write the path without it",
        )
    ]


def resources(facts: Facts) -> list[Fault]:
    """Limits that contradict each other or that no kernel takes."""
    limits = facts.linux.get("resources")
    if not limits:
        return []
    return check_resources(limits)


def check_resources(limits: ResourcesConfig) -> list[Fault]:
    """The rules for a ``resources`` object; pointers begin with /linux/resources."""
    faults: list[Fault] = []
    _memory(faults, limits.get("memory", {}))
    _cpu_relations(faults, limits.get("cpu", {}))
    return faults + check_values(limits)


def check_values(limits: ResourcesConfig) -> list[Fault]:
    """Those of the rules that ask for one value alone, so that they hold for `update` as well."""
    faults: list[Fault] = []
    _cpu(faults, limits.get("cpu", {}))
    _block_io(faults, limits.get("blockIO", {}))
    faults += [
        Fault(
            f"{_PLACE}/rdma/{token(name)}",
            settings,
            f"{name} has neither hcaHandles nor hcaObjects",
            f"{_CGROUPS}#rdma: at least one of hcaHandles and hcaObjects MUST be given",
            "add one of them",
        )
        for name, settings in limits.get("rdma", {}).items()
        if "hcaHandles" not in settings and "hcaObjects" not in settings
    ]
    faults += [
        Fault(
            f"{_PLACE}/unified/{name}",
            name,
            f'"{name}" is not a file of a cgroup',
            f"{_CGROUPS}#unified: keys are file names in the cgroup",
            'use a file name such as "memory.high"',
        )
        for name in limits.get("unified", {})
        if name in (".", "..")
    ]
    return faults


def _memory(faults: list[Fault], memory: ResourcesMemoryConfig) -> None:
    faults += [
        Fault(
            f"{_PLACE}/memory/{name}",
            value,
            message,
            f"{_CGROUPS}#memory: kernel and kernelTCP are NOT RECOMMENDED",
            "use limit, which counts kernel memory too",
            WARNING,
        )
        for name, value, message in (
            ("kernel", memory.get("kernel", 0), NO_KERNEL_LIMIT),
            ("kernelTCP", memory.get("kernelTCP", 0), "kernelTCP is a limit of cgroup v1 alone"),
        )
        if value > 0  # engines write 0 where the user said nothing
    ]
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if swap <= 0:
        return
    rule = f"{_CGROUPS}#memory: swap limits memory and swap together"
    if limit <= 0:
        cure = "add limit, or use -1 for swap"
        faults.append(
            Fault(f"{_PLACE}/memory/swap", swap, "swap is limited but memory is not", rule, cure)
        )
    elif swap < limit:
        text = f"swap (memory and swap together) is below the memory limit {limit}"
        cure = "raise swap to limit (no swap) or above"
        faults.append(Fault(f"{_PLACE}/memory/swap", swap, text, rule, cure))


def _cpu(faults: list[Fault], cpu: ResourcesCpuConfig) -> None:
    quota, period = cpu.get("quota", 0), cpu.get("period", 0)
    if period and not _PERIOD_MIN <= period <= _PERIOD_MAX:
        message, cure = f"a period of {period} us is out of range", "use 1000 to 1000000"
        faults.append(_cpu_fault(cpu, "period", message, cure))
    if 0 < quota < _PERIOD_MIN:
        message, cure = f"a quota of {quota} us is too small", "use at least 1000, or -1 for none"
        faults.append(_cpu_fault(cpu, "quota", message, cure))
    for name, given in (("cpus", cpu.get("cpus", "")), ("mems", cpu.get("mems", ""))):
        text = given.strip()
        if text and not is_kernel_list(text):
            message, cure = f'"{text}" is not a list of numbers', 'write it as "0-3,7"'
            faults.append(_cpu_fault(cpu, name, message, cure))


def _cpu_relations(faults: list[Fault], cpu: ResourcesCpuConfig) -> None:
    quota = cpu.get("quota", 0)
    if 0 < quota < cpu.get("burst", 0):
        message = f"the burst is above the quota {quota}"
        faults.append(_cpu_fault(cpu, "burst", message, "lower burst"))
    runtime, period = cpu.get("realtimeRuntime", 0), cpu.get("realtimePeriod", 0)
    if period and runtime > period:
        message = f"it is above realtimePeriod {period}"
        faults.append(_cpu_fault(cpu, "realtimeRuntime", message, "lower it"))


def _cpu_fault(cpu: ResourcesCpuConfig, name: str, message: str, cure: str) -> Fault:
    rule = f"{_CGROUPS}#cpu: the values are those of the kernel's cgroup files"
    return Fault(f"{_PLACE}/cpu/{name}", cpu.get(name), message, rule, cure)


def _block_io(faults: list[Fault], block_io: ResourcesBlockIOConfig) -> None:
    parts: list[ResourcesBlockIOConfig | WeightDeviceConfig] = [block_io]
    places = [f"{_PLACE}/blockIO"]
    for index, device in enumerate(block_io.get("weightDevice", ())):
        place = f"{_PLACE}/blockIO/weightDevice/{index}"
        places.append(place)
        parts.append(device)
        if "weight" not in device and "leafWeight" not in device:
            faults.append(
                Fault(
                    place,
                    device,
                    "the device has neither weight nor leafWeight",
                    f"{_CGROUPS}#block-io: at least one of weight and leafWeight MUST be given",
                    "add one of them",
                )
            )
    for place, part in zip(places, parts, strict=True):
        for name, weight in (
            ("weight", part.get("weight", 0)),
            ("leafWeight", part.get("leafWeight", 0)),
        ):
            if 0 < weight < _WEIGHT_MIN:
                faults.append(
                    Fault(
                        f"{place}/{name}",
                        weight,
                        f"a weight of {weight} is too small",
                        f"{_CGROUPS}#block-io: weights are from 10 to 1000",
                        "use a number from 10 to 1000, or 0 for the default",
                    )
                )

"""Sections of ``linux.resources`` that both versions of cgroups have in the same words, and what
neither of them has. Pure.

Source: config-linux.md, "Control groups".
"""

from __future__ import annotations

from ociruntime.cgroups.setting import Setting
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import (
        ResourcesBlockIOConfig,
        ResourcesHugepageLimitConfig,
        ResourcesMemoryConfig,
        ResourcesPidsConfig,
        ResourcesRdmaConfig,
    )


ROOT = "/linux/resources"
# What the kernel would silently make of another number (sched.h, MIN_SHARES and MAX_SHARES).
MIN_SHARES, MAX_SHARES = 2, 262144


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


def memory_ignored(section: ResourcesMemoryConfig, warnings: list[str]) -> None:
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


def pids(section: ResourcesPidsConfig) -> list[Setting]:
    """pids: a negative limit is none; 0 is one like any other, which lets nothing be forked
    (config-linux.md#pids).
    """
    value = section.get("limit")
    if value is None:
        return []
    text = "max" if value < 0 else str(value)
    return [Setting("pids", "pids.max", text, f"{ROOT}/pids/limit")]


def refuse_leaf_weight(section: ResourcesBlockIOConfig) -> None:
    """Leaf weights went away with the CFQ scheduler (Linux 5.0), on both versions."""
    found = [("leafWeight", section.get("leafWeight"))]
    for index, entry in enumerate(section.get("weightDevice") or []):
        found.append((f"weightDevice/{index}/leafWeight", entry.get("leafWeight")))
    for name, weight in found:
        if not weight:
            continue
        raise PlanError(
            f"linux.resources.blockIO: leafWeight {weight} needs the CFQ scheduler, "
            "which Linux 5.0 removed",
            f"{ROOT}/blockIO/{name}",
            "remove leafWeight, use weight",
        )


def huge_pages(section: list[ResourcesHugepageLimitConfig], limit: str) -> list[Setting]:
    """hugetlb: both the use and, where the kernel counts it (5.7), the reservation are limited, in
    files that end in ``limit``.
    """
    found = []
    for index, entry in enumerate(section):
        pointer = f"{ROOT}/hugepageLimits/{index}"
        value, prefix = str(entry["limit"]), f"hugetlb.{entry['pageSize']}"
        found.append(Setting("hugetlb", f"{prefix}.{limit}", value, pointer))
        found.append(Setting("hugetlb", f"{prefix}.rsvd.{limit}", value, pointer, optional=True))
    return found


def rdma(section: dict[str, ResourcesRdmaConfig]) -> list[Setting]:
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

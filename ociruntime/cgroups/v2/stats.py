"""Statistics of the unified hierarchy's controllers, in v1's names and units.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, "Controllers", and
Documentation/accounting/psi.rst.
"""

from __future__ import annotations

from ociruntime.cgroups.reader import CPUSET, NO_MEMORY, numbers, pids, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.reader import Reader

    Section = dict[str, Any]

__all__ = ["blkio", "cpu", "cpuset", "hugetlb", "memory", "pids"]

# What programs around runc take for "no limit".
UNLIMITED = (1 << 64) - 1
MICROSECONDS = 1000
# io.stat -> (list, operation); what else it has v1 did not count.
OPERATIONS = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
}


def cpu(reader: Reader) -> Section:
    """cpu; microseconds become nanoseconds."""
    table = reader.table("cpu.stat")
    return {
        "usage": {
            **some(total=table.get("usage_usec", 0) * MICROSECONDS),
            "kernel": table.get("system_usec", 0) * MICROSECONDS,
            "user": table.get("user_usec", 0) * MICROSECONDS,
        },
        "throttling": some(
            periods=table.get("nr_periods"),
            throttledPeriods=table.get("nr_throttled"),
            throttledTime=table.get("throttled_usec", 0) * MICROSECONDS,
        ),
        **pressure(reader, "cpu.pressure"),
    }


def cpuset(reader: Reader) -> Section:
    """cpuset: what is in effect; v1's switches do not exist."""
    cpus = numbers(reader.text("cpuset.cpus.effective"))
    nodes = numbers(reader.text("cpuset.mems.effective"))
    return {**some(cpus=cpus, mems=nodes), **dict.fromkeys(CPUSET, 0)}


def memory(reader: Reader) -> Section:
    """memory; as on v1 what is told of swap includes memory."""
    raw = dict(sorted(reader.table("memory.stat").items()))
    used, limit = reader.number("memory.current"), reader.number("memory.max", UNLIMITED)
    refused = reader.table("memory.events").get("max", 0)
    swap = reader.number("memory.swap.max", UNLIMITED)
    both = min(swap + limit, UNLIMITED)
    swapped = reader.number("memory.swap.current")
    return {
        **some(cache=raw.get("file")),
        "usage": {
            "limit": limit,
            **some(usage=used, max=reader.number("memory.peak")),
            "failcnt": refused,
        },
        "swap": {
            "limit": both,
            **some(usage=swapped + used),
            "failcnt": reader.table("memory.swap.events").get("fail", 0),
        },
        "kernel": NO_MEMORY,
        "kernelTCP": NO_MEMORY,
        **some(raw=raw),
        **pressure(reader, "memory.pressure"),
    }


def blkio(reader: Reader) -> Section:
    """io."""
    result: Section = {}
    for line in reader.text("io.stat").split("\n"):
        device, *pairs = line.split() or [""]
        major, colon, minor = device.partition(":")
        if not colon:
            continue
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name in OPERATIONS:
                where, operation = OPERATIONS[name]
                entry = some(major=int(major), minor=int(minor), op=operation, value=int(value))
                result.setdefault(where, []).append(entry)
    return {**result, **pressure(reader, "io.pressure")}


def hugetlb(reader: Reader) -> Section:
    """hugetlb, by page size."""
    result = {}
    for name in reader.names():
        words = name.split(".")
        if len(words) == 3 and words[0] == "hugetlb" and words[2] == "current":
            refused = reader.table(f"hugetlb.{words[1]}.events").get("max", 0)
            result[words[1]] = {**some(usage=reader.number(name)), "failcnt": refused}
    return result


def pressure(reader: Reader, file: str) -> Section:
    """``psi``: how long some, or all, processes waited; nothing where the kernel does not tell."""
    result: Section = {}
    for line in reader.text(file).split("\n"):
        kind, *pairs = line.split() or [""]
        if kind in ("some", "full"):
            values = dict(pair.split("=", 1) for pair in pairs)
            result[kind] = {
                name: int(text) if name == "total" else _average(text)
                for name, text in values.items()
            }
    return {"psi": result} if result else {}


def _average(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value

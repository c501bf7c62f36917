"""Statistics of cgroup v1's controllers.

Sources: cpuacct.rst, cpusets.rst, memory.rst, pids.rst, blkio-controller.rst and hugetlb.rst in
Documentation/admin-guide/cgroup-v1/ of the kernel.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.reader import CPUSET, MEMORY, NO_CPU, Reader, numbers, pids, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Section = dict[str, Any]

__all__ = ["blkio", "cpu", "cpuset", "hugetlb", "memory", "pids"]

NANOSECONDS = 1_000_000_000
# runc's name -> end of the file's name. The first two are counted by throttling, too.
BLOCK_IO = {
    "ioServiceBytesRecursive": "io_service_bytes_recursive",
    "ioServicedRecursive": "io_serviced_recursive",
}
BRIEFLY = ("usage", "swap")
SCHEDULED = {
    "ioQueueRecursive": "io_queued_recursive",
    "ioServiceTimeRecursive": "io_service_time_recursive",
    "ioWaitTimeRecursive": "io_wait_time_recursive",
    "ioMergedRecursive": "io_merged_recursive",
    "ioTimeRecursive": "time_recursive",
    "sectorsRecursive": "sectors_recursive",
}

def cpu(accounting: Reader | None, control: Reader | None, *, brief: bool = False) -> Section:
    """cpuacct and cpu, which are often one; each CPU by itself unless ``brief``."""
    result = {**NO_CPU}
    if accounting is not None:
        tick = NANOSECONDS // os.sysconf("SC_CLK_TCK")
        total = accounting.table("cpuacct.stat")
        result["usage"] = {
            **some(total=accounting.number("cpuacct.usage")),
            **({} if brief else _each_cpu(accounting)),
            "kernel": total.get("system", 0) * tick,
            "user": total.get("user", 0) * tick,
        }
    if control is not None:
        table = control.table("cpu.stat")
        result["throttling"] = some(
            periods=table.get("nr_periods"),
            throttledPeriods=table.get("nr_throttled"),
            throttledTime=table.get("throttled_time"),
        )
    return result


def _each_cpu(accounting: Reader) -> Section:
    each = [line.split() for line in accounting.text("cpuacct.usage_all").split("\n")[1:]]
    return some(
        percpu=[int(word) for word in accounting.text("cpuacct.usage_percpu").split()],
        percpu_kernel=[int(words[2]) for words in each if len(words) == 3],
        percpu_user=[int(words[1]) for words in each if len(words) == 3],
    )


def cpuset(reader: Reader) -> Section:
    """cpuset."""
    cpus, nodes = numbers(reader.text("cpuset.cpus")), numbers(reader.text("cpuset.mems"))
    result: Section = {"cpus": cpus} if cpus else {}
    for name, file in CPUSET.items():
        result[name] = reader.number(file)
        if name == "cpu_exclusive" and nodes:
            result["mems"] = nodes
    return result


def memory(reader: Reader, *, brief: bool = False) -> Section:
    """memory; swap includes memory. The kernel's part by itself unless ``brief``."""
    raw = dict(sorted(reader.table("memory.stat").items()))
    result = some(cache=raw.get("cache"))
    for name, prefix in MEMORY.items():
        if brief and name not in BRIEFLY:
            continue
        result[name] = {
            "limit": reader.number(f"{prefix}.limit_in_bytes"),
            **some(
                usage=reader.number(f"{prefix}.usage_in_bytes"),
                max=reader.number(f"{prefix}.max_usage_in_bytes"),
            ),
            "failcnt": reader.number(f"{prefix}.failcnt"),
        }
    return {**result, **some(raw=raw)}


def blkio(reader: Reader) -> Section:
    """blkio: the bfq scheduler's own counters where it is at work, else those of throttling."""
    if entries(reader.text("blkio.bfq.io_serviced_recursive")):
        prefix, files = "blkio.bfq.", {**BLOCK_IO, **SCHEDULED}
    else:
        prefix, files = "blkio.throttle.", BLOCK_IO
    return some(**{name: entries(reader.text(prefix + file)) for name, file in files.items()})


def entries(text: str) -> list[Section]:
    """Lines ``8:0 Read 4096`` and ``8:0 4096``; totals of all devices are left out."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        major, colon, minor = words[0].partition(":") if words else ("", "", "")
        if colon and len(words) > 1:
            operation = words[1] if len(words) == 3 else ""
            value = int(words[-1])
            found.append(some(major=int(major), minor=int(minor), op=operation, value=value))
    return found


def hugetlb(reader: Reader) -> Section:
    """hugetlb, by page size."""
    result = {}
    for name in reader.names():
        words = name.split(".")
        if len(words) == 3 and words[0] == "hugetlb" and words[2] == "usage_in_bytes":
            prefix = f"hugetlb.{words[1]}"
            result[words[1]] = {
                **some(
                    usage=reader.number(name),
                    max=reader.number(f"{prefix}.max_usage_in_bytes"),
                ),
                "failcnt": reader.number(f"{prefix}.failcnt"),
            }
    return result

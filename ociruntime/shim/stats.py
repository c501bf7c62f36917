"""Stats: what a container's cgroup counts, as containerd/cgroups' Metrics of version 1 and 2.

A file that is missing (a controller that is off, an older kernel) leaves its fields zero.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.shim import metrics as m

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.path import Placement

    Values = dict[str, Any]

V1_URL = "io.containerd.cgroups.v1.Metrics"
V2_URL = "io.containerd.cgroups.v2.Metrics"
UNLIMITED = (1 << 64) - 1
LONGEST = 1 << 20
# cgroup v1 counts in USER_HZ (proc(5)), which is 100 everywhere.
TICK = 10_000_000
BLKIO = {
    "service_bytes": "throttle.io_service_bytes",
    "serviced": "throttle.io_serviced",
    "queued": "bfq.io_queued_recursive",
    "service_time": "bfq.io_service_time_recursive",
    "wait_time": "bfq.io_wait_time_recursive",
    "merged": "bfq.io_merged_recursive",
    "time": "bfq.time_recursive",
    "sectors": "bfq.sectors_recursive",
}
MEMORY_ENTRIES = {
    "usage": "memory",
    "swap": "memory.memsw",
    "kernel": "memory.kmem",
    "kernel_tcp": "memory.kmem.tcp",
}


def read_stats(placement: Placement) -> tuple[str, bytes]:
    """(type URL, message) of the container's metrics."""
    if placement.mode == "v2":
        return V2_URL, m.METRICS_V2.encode(_v2(placement.paths[""]))
    return V1_URL, m.METRICS_V1.encode(_v1(placement))


def _text(directory: str | None, name: str) -> str:
    if directory is None:
        return ""
    try:
        fd = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, LONGEST).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _number(text: str) -> int:
    text = text.strip()
    if text == "max":
        return UNLIMITED
    return int(text) if text.isdecimal() else 0


def _pairs(text: str) -> dict[str, int]:
    """``name number`` on each line."""
    found = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        found[name] = _number(number)
    return found


# version 1


def _v1(placement: Placement) -> Values:
    def directory(controller: str) -> str | None:
        place = placement.find(controller)
        return place.directory if place is not None else None

    values: Values = {
        "hugetlb": _hugetlb(directory("hugetlb"), "usage_in_bytes", "max_usage_in_bytes"),
        "cpu": _cpu_v1(directory("cpu"), directory("cpuacct")),
        "blkio": _all_blkio(directory("blkio")),
        "rdma": _rdma(directory("rdma")),
    }
    pids = directory("pids")
    if pids is not None:
        limit = _text(pids, "pids.max").strip()
        values["pids"] = {
            "current": _number(_text(pids, "pids.current")),
            "limit": 0 if limit == "max" else _number(limit),
        }
    memory = directory("memory")
    if memory is not None:
        values["memory"] = _memory_v1(memory)
        control = _pairs(_text(memory, "memory.oom_control"))
        values["memory_oom_control"] = control
    return values


def _cpu_v1(cpu: str | None, accounting: str | None) -> Values:
    ticks = _pairs(_text(accounting, "cpuacct.stat"))
    throttling = _pairs(_text(cpu, "cpu.stat"))
    return {
        "usage": {
            "total": _number(_text(accounting, "cpuacct.usage")),
            "kernel": ticks.get("system", 0) * TICK,
            "user": ticks.get("user", 0) * TICK,
            "per_cpu": [
                _number(word) for word in _text(accounting, "cpuacct.usage_percpu").split()
            ],
        },
        "throttling": {
            "periods": throttling.get("nr_periods", 0),
            "throttled_periods": throttling.get("nr_throttled", 0),
            "throttled_time": throttling.get("throttled_time", 0),
        },
    }


def _memory_v1(directory: str) -> Values:
    stat = _pairs(_text(directory, "memory.stat"))
    values: Values = {field: stat.get(name, 0) for field, name in m.MEMORY_STAT_V1.items()}
    for field, prefix in MEMORY_ENTRIES.items():
        values[field] = {
            "limit": _number(_text(directory, f"{prefix}.limit_in_bytes")),
            "usage": _number(_text(directory, f"{prefix}.usage_in_bytes")),
            "max": _number(_text(directory, f"{prefix}.max_usage_in_bytes")),
            "failcnt": _number(_text(directory, f"{prefix}.failcnt")),
        }
    return values


def _all_blkio(directory: str | None) -> Values:
    texts = {field: _text(directory, f"blkio.{name}") for field, name in BLKIO.items()}
    names = _devices() if any(":" in text for text in texts.values()) else {}
    return {field: _blkio(text, names) for field, text in texts.items()}


def _devices() -> dict[str, str]:
    """Paths of block devices by ``major:minor`` (proc_diskstats(5)); a file of many reads."""
    text = b""
    try:
        fd = os.open("/proc/diskstats", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        while (part := os.read(fd, 1 << 16)) and len(text) < LONGEST:
            text += part
    finally:
        os.close(fd)
    lines = (line.split() for line in text.decode("ascii", "replace").splitlines())
    return {f"{words[0]}:{words[1]}": f"/dev/{words[2]}" for words in lines if len(words) > 2}


def _blkio(text: str, names: dict[str, str]) -> list[Values]:
    entries = []
    for line in text.splitlines():
        words = line.split()
        if len(words) not in (2, 3) or ":" not in words[0]:
            continue  # the sum of all
        major, _, minor = words[0].partition(":")
        entries.append(
            {
                "op": words[1] if len(words) == 3 else "",
                "device": names.get(words[0], ""),
                "major": _number(major),
                "minor": _number(minor),
                "value": _number(words[-1]),
            }
        )
    return entries


def _hugetlb(directory: str | None, usage: str, most: str) -> list[Values]:
    """Every page size for which there is a file."""
    entries = []
    for size in _page_sizes(directory):
        prefix = f"hugetlb.{size}"
        entries.append(
            {
                "usage": _number(_text(directory, f"{prefix}.{usage}")),
                "max": _number(_text(directory, f"{prefix}.{most}")),
                "failcnt": _number(_text(directory, f"{prefix}.failcnt")),
                "pagesize": size,
            }
        )
    return entries


def _page_sizes(directory: str | None) -> list[str]:
    if directory is None:
        return []
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    sizes = {name.split(".")[1] for name in names if name.startswith("hugetlb.")}
    return sorted(sizes)


def _rdma(directory: str | None) -> Values:
    return {
        "current": _rdma_entries(_text(directory, "rdma.current")),
        "limit": _rdma_entries(_text(directory, "rdma.max")),
    }


def _rdma_entries(text: str) -> list[Values]:
    entries = []
    for line in text.splitlines():
        device, *words = line.split()
        numbers = dict(word.partition("=")[::2] for word in words)
        entries.append(
            {
                "device": device,
                "hca_handles": min(_number(numbers.get("hca_handle", "")), 0xFFFFFFFF),
                "hca_objects": min(_number(numbers.get("hca_object", "")), 0xFFFFFFFF),
            }
        )
    return entries


# version 2


def _v2(directory: str) -> Values:
    stat = _pairs(_text(directory, "memory.stat"))
    memory: Values = {name: stat.get(name, 0) for name in m.MEMORY_STAT_V2}
    for field, name in m.MEMORY_FILES_V2.items():
        memory[field] = _number(_text(directory, name))
    memory["psi"] = _pressure(directory, "memory.pressure")
    cpu: Values = _pairs(_text(directory, "cpu.stat"))
    cpu["psi"] = _pressure(directory, "cpu.pressure")
    return {
        "pids": {
            "current": _number(_text(directory, "pids.current")),
            "limit": _number(_text(directory, "pids.max")),
        },
        "cpu": cpu,
        "memory": memory,
        "rdma": _rdma(directory),
        "io": {
            "usage": _io(_text(directory, "io.stat")),
            "psi": _pressure(directory, "io.pressure"),
        },
        "hugetlb": [
            {
                "current": _number(_text(directory, f"hugetlb.{size}.current")),
                "max": _number(_text(directory, f"hugetlb.{size}.max")),
                "pagesize": size,
                "failcnt": _pairs(_text(directory, f"hugetlb.{size}.events")).get("max", 0),
            }
            for size in _page_sizes(directory)
        ],
        "memory_events": _pairs(_text(directory, "memory.events")),
    }


def _io(text: str) -> list[Values]:
    entries = []
    for line in text.splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        numbers = {name: _number(value) for name, _, value in (w.partition("=") for w in words)}
        entries.append({"major": _number(major), "minor": _number(minor), **numbers})
    return entries


def _pressure(directory: str, name: str) -> Values | None:
    """Pressure stall information (Documentation/accounting/psi.rst); None where it is off."""
    text = _text(directory, name)
    if not text:
        return None
    found: Values = {}
    for line in text.splitlines():
        kind, *words = line.split()
        numbers = dict(word.partition("=")[::2] for word in words)
        found[kind] = {
            "avg10": float(numbers.get("avg10", 0)),
            "avg60": float(numbers.get("avg60", 0)),
            "avg300": float(numbers.get("avg300", 0)),
            "total": _number(numbers.get("total", "")),
        }
    return found

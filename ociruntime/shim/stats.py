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
# Most files are shorter. For a larger buffer the allocator asks the kernel for fresh pages, thirty
# times for each container: three quarters of the time that an answer took.
PIECE = 1 << 12
# In place of a descriptor: there is no such cgroup.
NONE = -1
LONGEST = 1 << 20
# cgroup v1 counts in USER_HZ (proc(5)), which is 100 everywhere.
TICK = 10_000_000
# Controllers of version 1 that count what is told.
COUNTING = ("blkio", "cpu", "cpuacct", "hugetlb", "memory", "pids", "rdma")
THROTTLE = {"service_bytes": "io_service_bytes", "serviced": "io_serviced"}
# There only with the bfq scheduler and its statistics, but then all of them.
BFQ = {
    "queued": "io_queued_recursive",
    "service_time": "io_service_time_recursive",
    "wait_time": "io_wait_time_recursive",
    "merged": "io_merged_recursive",
    "time": "time_recursive",
    "sectors": "sectors_recursive",
}
MEMORY_ENTRIES = {
    "usage": "memory",
    "swap": "memory.memsw",
    "kernel": "memory.kmem",
    "kernel_tcp": "memory.kmem.tcp",
}


def read_stats(placement: Placement) -> tuple[str, bytes]:
    """(type URL, message) of the container's metrics."""
    counting: dict[str, int] = {}
    try:
        if placement.mode == "v2":
            counting[""] = directory = _directory(placement.paths[""])
            return V2_URL, m.METRICS_V2.encode(_v2(directory))
        by_controller = {}
        for place in placement.places:
            for name in place.controllers:
                if name in COUNTING:
                    if place.key not in counting:
                        counting[place.key] = _directory(place.directory)
                    by_controller[name] = counting[place.key]
        return V1_URL, m.METRICS_V1.encode(_v1(by_controller))
    finally:
        for fd in counting.values():
            if fd != NONE:
                os.close(fd)


def _directory(path: str) -> int:
    """An open cgroup: thirty files are found faster from there than from the root directory."""
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return NONE  # it has just ended


def _text(directory: int, name: str) -> str:
    if directory == NONE:
        return ""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return ""
    try:
        return _whole(fd).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _whole(fd: int) -> bytes:
    """A file of a cgroup or of /proc; less than was asked for is the end of those of a cgroup (the
    kernel makes them as one piece), and of others nothing is.
    """
    text = part = os.read(fd, PIECE)
    while part and len(text) % PIECE == 0 and len(text) < LONGEST:
        part = os.read(fd, PIECE)
        text += part
    return text


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return UNLIMITED if text.strip() == "max" else 0


def _pairs(text: str) -> dict[str, int]:
    """``name number`` on each line."""
    found = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        found[name] = _number(number)
    return found


# version 1


def _v1(directories: dict[str, int]) -> Values:
    """``directories``: open cgroups by controller."""

    def directory(controller: str) -> int:
        return directories.get(controller, NONE)

    values: Values = {
        "hugetlb": _hugetlb(directory("hugetlb"), "usage_in_bytes", "max_usage_in_bytes"),
        "cpu": _cpu_v1(directory("cpu"), directory("cpuacct")),
        "blkio": _all_blkio(directory("blkio")),
        "rdma": _rdma(directory("rdma")),
    }
    if "pids" in directories:
        pids = directory("pids")
        limit = _text(pids, "pids.max").strip()
        values["pids"] = {
            "current": _number(_text(pids, "pids.current")),
            "limit": 0 if limit == "max" else _number(limit),
        }
    if "memory" in directories:
        memory = directory("memory")
        values["memory"] = _memory_v1(memory)
        values["memory_oom_control"] = _pairs(_text(memory, "memory.oom_control"))
    return values


def _cpu_v1(cpu: int, accounting: int) -> Values:
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


def _memory_v1(directory: int) -> Values:
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


def _all_blkio(directory: int) -> Values:
    texts = {field: _text(directory, f"blkio.throttle.{name}") for field, name in THROTTLE.items()}
    for field, name in BFQ.items():
        texts[field] = _text(directory, f"blkio.bfq.{name}")
        if not texts["queued"]:
            break
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


def _hugetlb(directory: int, usage: str, most: str) -> list[Values]:
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


def _page_sizes(directory: int) -> list[str]:
    if directory == NONE:
        return []
    try:
        listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return []
    try:
        names = os.listdir(listing)
    except OSError:
        return []
    finally:
        os.close(listing)
    sizes = {name.split(".")[1] for name in names if name.startswith("hugetlb.")}
    return sorted(sizes)


def _rdma(directory: int) -> Values:
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


def _v2(directory: int) -> Values:
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


def _pressure(directory: int, name: str) -> Values | None:
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

"""The metrics of containers: read from their cgroups and network namespaces."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from ociruntime.cgroups.oom import kills
from ociruntime.errors import OciError
from ociruntime.kernel.constants import O_RDONLY
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.events import usage
from ociruntime.lifecycle.kill import saved_group
from ociruntime.metrics.exposition import COUNTER, GAUGE, INFO, STATESET, Family
from ociruntime.spec.tables import STATUSES
from ociruntime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.state.store import Container, Store

NANOSECONDS, MICROSECONDS = 1e9, 1e6
# v1 says "no limit" with the greatest multiple of a page, v2 with 2**64 - 1.
NO_LIMIT = 1 << 62
PREFIX = "ociruntime_container"
STATE = f"{PREFIX}_state"
# name -> (kind, unit, meaning), in the order in which they are told
FAMILIES = {
    "": (INFO, "", "What a container is."),
    "state": (STATESET, "", "Where a container is in its life."),
    "created_timestamp_seconds": (GAUGE, "seconds", "When it was created."),
    "cpu_usage_seconds": (COUNTER, "seconds", "CPU time that it has used."),
    "cpu_mode_seconds": (COUNTER, "seconds", "CPU time in the kernel and in programs."),
    "cpu_periods": (COUNTER, "", "Periods of its CPU quota."),
    "cpu_throttled_periods": (COUNTER, "", "Periods in which its CPU quota was used up."),
    "cpu_throttled_seconds": (COUNTER, "seconds", "Time that it waited for its CPU quota."),
    "memory_usage_bytes": (GAUGE, "bytes", "Memory in use."),
    "memory_limit_bytes": (GAUGE, "bytes", "Limit of its memory; absent without one."),
    "memory_peak_bytes": (GAUGE, "bytes", "The most memory that was in use."),
    "memory_cache_bytes": (GAUGE, "bytes", "Memory in use for files."),
    "memory_swap_bytes": (GAUGE, "bytes", "Swap in use."),
    "memory_limit_hits": (COUNTER, "", "How often its memory limit was met."),
    "oom_kills": (COUNTER, "", "Processes killed because memory ran out."),
    "pids": (GAUGE, "", "Processes and threads."),
    "pids_limit": (GAUGE, "", "Limit of processes and threads; absent without one."),
    "block_read_bytes": (COUNTER, "bytes", "Bytes read from block devices."),
    "block_written_bytes": (COUNTER, "bytes", "Bytes written to block devices."),
    "block_reads": (COUNTER, "", "Read operations of block devices."),
    "block_writes": (COUNTER, "", "Write operations of block devices."),
    "pressure_seconds": (COUNTER, "seconds", "Time that some or all processes waited."),
    "hugetlb_usage_bytes": (GAUGE, "bytes", "Memory in huge pages."),
    "network_receive_bytes": (COUNTER, "bytes", "Bytes received."),
    "network_receive_packets": (COUNTER, "", "Packets received."),
    "network_receive_errors": (COUNTER, "", "Packets received badly."),
    "network_transmit_bytes": (COUNTER, "bytes", "Bytes sent."),
    "network_transmit_packets": (COUNTER, "", "Packets sent."),
    "network_transmit_errors": (COUNTER, "", "Packets that could not be sent."),
}
# Columns of /proc/PID/net/dev (proc_pid_net(5)).
NETWORK = {
    "network_receive_bytes": 0,
    "network_receive_packets": 1,
    "network_receive_errors": 2,
    "network_transmit_bytes": 8,
    "network_transmit_packets": 9,
    "network_transmit_errors": 10,
}
# (list, operation) of the statistics -> family
BLOCK = {
    ("ioServiceBytesRecursive", "Read"): "block_read_bytes",
    ("ioServiceBytesRecursive", "Write"): "block_written_bytes",
    ("ioServicedRecursive", "Read"): "block_reads",
    ("ioServicedRecursive", "Write"): "block_writes",
}
PRESSURE = {"cpu": "cpu", "memory": "memory", "blkio": "io"}


class Collection:
    """Families that any number of containers is added to."""

    def __init__(self) -> None:
        self._kernel = Kernel()
        self._families = {
            name: Family(f"{PREFIX}_{name}".rstrip("_"), kind, unit, meaning)
            for name, (kind, unit, meaning) in FAMILIES.items()
        }

    @property
    def families(self) -> list[Family]:
        """All of them."""
        return list(self._families.values())

    def add(self, container: Container) -> None:
        """Add a container. Raises ``OciError`` when it is going."""
        data, word = container.data, status(container)
        self._put("", 1, container, bundle=data.get("bundle", ""))
        for each in STATUSES:
            self._put("state", int(each == word), container, **{STATE: each})
        created = datetime.fromisoformat(data["created"]).timestamp() if "created" in data else 0.0
        self._put("created_timestamp_seconds", created, container)
        group = saved_group(container)
        if group is None or word not in ("created", "running", "paused"):
            return
        with closing(group):
            self._put("oom_kills", kills(group), container)
            self._add_usage(container, usage(container, group, brief=True))
        if "network" in data.get("namespaces", ()):
            self._add_network(container)

    def _add_usage(self, container: Container, data: dict[str, Any]) -> None:
        self._add_cpu(container, data["cpu"])
        self._add_memory(container, data["memory"])
        self._put("pids", data["pids"].get("current", 0), container)
        if 0 < data["pids"].get("limit", 0) < NO_LIMIT:
            self._put("pids_limit", data["pids"]["limit"], container)
        for (place, operation), name in BLOCK.items():
            for entry in data["blkio"].get(place, ()):
                if entry.get("op") == operation:
                    device = f"{entry.get('major', 0)}:{entry.get('minor', 0)}"
                    self._put(name, entry.get("value", 0), container, device=device)
        for section, resource in PRESSURE.items():
            for kind, values in data[section].get("psi", {}).items():
                seconds = values["total"] / MICROSECONDS
                self._put("pressure_seconds", seconds, container, resource=resource, kind=kind)
        for size, values in data["hugetlb"].items():
            self._put("hugetlb_usage_bytes", values.get("usage", 0), container, pagesize=size)

    def _add_cpu(self, container: Container, cpu: dict[str, Any]) -> None:
        usage, throttling = cpu["usage"], cpu["throttling"]
        self._put("cpu_usage_seconds", usage.get("total", 0) / NANOSECONDS, container)
        for mode in ("user", "kernel"):
            self._put("cpu_mode_seconds", usage[mode] / NANOSECONDS, container, mode=mode)
        if throttling.get("periods"):
            self._put("cpu_periods", throttling["periods"], container)
            self._put("cpu_throttled_periods", throttling.get("throttledPeriods", 0), container)
            waited = throttling.get("throttledTime", 0) / NANOSECONDS
            self._put("cpu_throttled_seconds", waited, container)

    def _add_memory(self, container: Container, memory: dict[str, Any]) -> None:
        usage, both = memory["usage"], memory["swap"]
        used = usage.get("usage", 0)
        self._put("memory_usage_bytes", used, container)
        if 0 < usage.get("limit", 0) < NO_LIMIT:
            self._put("memory_limit_bytes", usage["limit"], container)
        if "max" in usage:
            self._put("memory_peak_bytes", usage["max"], container)
        self._put("memory_cache_bytes", memory.get("cache", 0), container)
        if "usage" in both:
            self._put("memory_swap_bytes", max(0, both["usage"] - used), container)
        self._put("memory_limit_hits", usage["failcnt"], container)

    def _add_network(self, container: Container) -> None:
        try:
            fd = self._kernel.open(f"/proc/{container.data['pid']}/net/dev", O_RDONLY)
            try:
                text = self._kernel.read_whole(fd).decode("utf-8", "backslashreplace")
            finally:
                self._kernel.close(fd)
        except OSError:
            return  # it has just ended
        for line in text.split("\n")[2:]:
            device, _, numbers = line.rpartition(":")
            columns = numbers.split()
            if len(columns) > max(NETWORK.values()):
                for name, column in NETWORK.items():
                    self._put(name, int(columns[column]), container, device=device.strip(" "))

    def _put(self, name: str, value: float, container: Container, **labels: str) -> None:
        self._families[name].add(value, id=container.id, **labels)


def collect(store: Store) -> tuple[list[Family], list[str]]:
    """(families, warnings) of all containers; those that are going are left out."""
    collection = Collection()
    warnings: list[str] = []
    for container_id in store.ids():
        try:
            with closing(store.open(container_id)) as container:
                if container.data:
                    collection.add(container)
        except OciError as error:
            warnings.append(f"container {container_id}: {error}")
    return collection.families, warnings

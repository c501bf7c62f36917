"""A container's cgroup on the private host, and what a shim's Stats should say of it.

The expected values are read here on their own, from the kernel's documentation of the files
(admin-guide/cgroup-v1, cgroup-v2.rst) and the comments of containerd/cgroups' metrics.proto.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ociruntime.cgroups.path import Place, Placement
from ociruntime.shim import messages as m
from ociruntime.shim.metrics import METRICS_V1, METRICS_V2
from ociruntime.shim.stats import V1_URL, V2_URL
from tests.support.engines.containerd import ContainerdWith
from tests.support.engines.ttrpc import TaskClient

STATE = "run/containerd/io.containerd.runtime.v2.task/default"
UNLIMITED = (1 << 64) - 1
# USER_HZ is 100: cpuacct.stat counts in hundredths of a second, Metrics in nanoseconds.
TICK = 10_000_000
V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio", "hugetlb", "freezer")


def client(view: ContainerdWith, container: str) -> TaskClient:
    """A connection to the shim of a container, whoever's shim that is."""
    root = Path(f"/proc/{view.host.init}/root")
    bundle = root / STATE / container
    if (bundle / "address").exists():
        found = {"address": (bundle / "address").read_text(), "version": 2}
    else:  # containerd's own shim from 2.0 on
        found = json.loads((bundle / "bootstrap.json").read_text())
    path = found["address"].removeprefix("unix://").lstrip("/")
    return TaskClient(root / path, found["version"])


def stats(view: ContainerdWith, container: str) -> dict[str, Any]:
    """The decoded Metrics that the container's shim answers Stats with."""
    with client(view, container) as connection:
        answer = connection.call("Stats", m.PROCESS_KEY, m.STATS_RESPONSE, id=container)["stats"]
    assert answer["type_url"] in (V1_URL, V2_URL)
    message = METRICS_V2 if answer["type_url"] == V2_URL else METRICS_V1
    return message.decode(answer["value"])


class Group:
    """The container's cgroup in every hierarchy of the host."""

    def __init__(self, view: ContainerdWith, container: str) -> None:
        self._path = f"{view.host.cgroup_parent}/{container}".lstrip("/")
        self.top = Path(f"/proc/{view.host.init}/root/sys/fs/cgroup")
        self.v2 = (self.top / "cgroup.controllers").exists()

    def directory(self, controller: str) -> Path:
        """Where the files of a controller are; of all controllers in one place with v2."""
        if self.v2:
            return self.top / self._path
        tops = [path for path in self.top.iterdir() if controller in path.name.split(",")]
        return tops[0] / self._path

    def directories(self) -> list[Path]:
        """Every directory that the container has."""
        names = ("",) if self.v2 else V1_CONTROLLERS
        return [path for path in map(self.directory, names) if path.exists()]

    def text(self, name: str) -> str:
        """A file's text, empty where there is none; v1's controller is in front of the dot."""
        try:
            return (self.directory(name.partition(".")[0]) / name).read_text()
        except OSError:
            return ""

    def number(self, name: str) -> int:
        """A file with one number, ``max`` or nothing."""
        text = self.text(name).strip()
        return UNLIMITED if text == "max" else int(text or 0)

    def table(self, name: str) -> dict[str, int]:
        """A file of ``name number`` lines."""
        pairs = (line.split() for line in self.text(name).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs}

    def placement(self) -> Placement:
        """The same for the shim's own functions."""
        if self.v2:
            return Placement("v2", [Place("", str(self.top), self._path.split("/"), 0)])
        tops = [path for path in self.top.iterdir() if (path / self._path).is_dir()]
        places = [Place(top.name, str(top), self._path.split("/"), 0) for top in tops]
        return Placement("v1", places)

    def expected(self) -> dict[str, Any]:
        """What Metrics should have: a value for each field that the host's kernel knows."""
        return self._expected_v2() if self.v2 else self._expected_v1()

    def _expected_v2(self) -> dict[str, Any]:
        usage = []
        for line in self.text("io.stat").splitlines():
            device, *words = line.split()
            major, minor = device.split(":")
            counts = {key: int(value) for key, value in (word.split("=") for word in words)}
            known = {key: counts.get(key, 0) for key in ("rbytes", "wbytes", "rios", "wios")}
            usage.append({"major": int(major), "minor": int(minor), **known})
        return {
            "pids": {"current": self.number("pids.current"), "limit": self.number("pids.max")},
            "cpu": self.table("cpu.stat"),
            "memory": {
                **self.table("memory.stat"),
                "usage": self.number("memory.current"),
                "usage_limit": self.number("memory.max"),
                "swap_usage": self.number("memory.swap.current"),
                "swap_limit": self.number("memory.swap.max"),
                "max_usage": self.number("memory.peak"),
                "swap_max_usage": self.number("memory.swap.peak"),
            },
            "memory_events": self.table("memory.events"),
            "io": {"usage": usage},
            "hugetlb": [
                {
                    "pagesize": size,
                    "current": self.number(f"hugetlb.{size}.current"),
                    "max": self.number(f"hugetlb.{size}.max"),
                    "failcnt": self.table(f"hugetlb.{size}.events").get("max", 0),
                }
                for size in self._page_sizes()
            ],
        }

    def _expected_v1(self) -> dict[str, Any]:
        ticks, throttled = self.table("cpuacct.stat"), self.table("cpu.stat")
        memory: dict[str, Any] = self.table("memory.stat")
        if "hierarchical_memsw_limit" in memory:
            memory["hierarchical_swap_limit"] = memory.pop("hierarchical_memsw_limit")
        names = {"usage": "memory", "swap": "memory.memsw", "kernel": "memory.kmem",
                 "kernel_tcp": "memory.kmem.tcp"}  # fmt: skip
        for field, prefix in names.items():
            memory[field] = {
                "limit": self.number(f"{prefix}.limit_in_bytes"),
                "usage": self.number(f"{prefix}.usage_in_bytes"),
                "max": self.number(f"{prefix}.max_usage_in_bytes"),
                "failcnt": self.number(f"{prefix}.failcnt"),
            }
        return {
            "pids": {
                "current": self.number("pids.current"),
                "limit": self.number("pids.max") % UNLIMITED,  # no limit is 0
            },
            "cpu": {
                "usage": {
                    "total": self.number("cpuacct.usage"),
                    "kernel": ticks["system"] * TICK,
                    "user": ticks["user"] * TICK,
                    "per_cpu": [int(n) for n in self.text("cpuacct.usage_percpu").split()],
                },
                "throttling": {
                    "periods": throttled["nr_periods"],
                    "throttled_periods": throttled["nr_throttled"],
                    "throttled_time": throttled["throttled_time"],
                },
            },
            "memory": memory,
            "memory_oom_control": self.table("memory.oom_control"),
            "hugetlb": [
                {
                    "pagesize": size,
                    "usage": self.number(f"hugetlb.{size}.usage_in_bytes"),
                    "max": self.number(f"hugetlb.{size}.max_usage_in_bytes"),
                    "failcnt": self.number(f"hugetlb.{size}.failcnt"),
                }
                for size in self._page_sizes()
            ],
        }

    def _page_sizes(self) -> list[str]:
        sizes = {1 << 21: "2MB", 1 << 30: "1GB"}
        pools = Path("/sys/kernel/mm/hugepages").glob("hugepages-*kB")
        found = [int(path.name.removeprefix("hugepages-").removesuffix("kB")) for path in pools]
        present = (sizes[kilobytes << 10] for kilobytes in found if kilobytes << 10 in sizes)
        return sorted(size for size in present if self.text(f"hugetlb.{size}.{self._current}"))

    @property
    def _current(self) -> str:
        return "current" if self.v2 else "usage_in_bytes"


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Where ``found`` has another value than ``expected``, for the fields that both know."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = [name for name in expected if name in found]
        pairs = [(expected[name], found[name], f"{where}.{name}") for name in names]
        return [line for pair in pairs for line in differences(*pair)]
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return [f"{where}: {expected} instead of {found}"]
        triples = zip(expected, found, (f"{where}[{n}]" for n in range(len(found))), strict=True)
        return [line for triple in triples for line in differences(*triple)]
    return [] if expected == found else [f"{where}: {found} instead of {expected}"]

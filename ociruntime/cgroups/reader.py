"""What the statistics of both versions are read with: a cgroup's files, and their texts."""

from __future__ import annotations

from ociruntime.cgroups.files import number, read_counters
from ociruntime.cgroups.tree import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.kernel.kernel import Kernel

    Section = dict[str, Any]

# runc's name -> v1's file, or its beginning; they are in the statistics of both versions.
CPUSET = {
    "cpu_exclusive": "cpuset.cpu_exclusive",
    "mem_hardwall": "cpuset.mem_hardwall",
    "mem_exclusive": "cpuset.mem_exclusive",
    "memory_migrate": "cpuset.memory_migrate",
    "memory_spread_page": "cpuset.memory_spread_page",
    "memory_spread_slab": "cpuset.memory_spread_slab",
    "memory_pressure": "cpuset.memory_pressure",
    "sched_load_balance": "cpuset.sched_load_balance",
    "sched_relax_domain_level": "cpuset.sched_relax_domain_level",
}
MEMORY = {
    "usage": "memory",
    "swap": "memory.memsw",
    "kernel": "memory.kmem",
    "kernelTCP": "memory.kmem.tcp",
}
# What there is of a controller that the host does not have.
NO_CPU: Section = {"usage": {"kernel": 0, "user": 0}, "throttling": {}}
NO_MEMORY = {"limit": 0, "failcnt": 0}
EMPTY: dict[str, Section] = {
    "cpu": NO_CPU,
    "cpuset": dict.fromkeys(CPUSET, 0),
    "memory": dict.fromkeys(MEMORY, NO_MEMORY),
    "pids": {},
    "blkio": {},
    "hugetlb": {},
}


class Reader:
    """Files of one controller's cgroup; one that is missing is empty and counts as 0."""

    def __init__(self, kernel: Kernel, directory: int) -> None:
        self.kernel = kernel
        self.directory = directory

    def text(self, file: str) -> str:
        return read_counters(self.kernel, self.directory, file)

    def number(self, file: str, default: int = 0) -> int:
        """The number in a file; ``default`` for ``max``, 0 for a missing file."""
        text = self.text(file)
        return number(text, default) if text else 0

    def table(self, file: str) -> dict[str, int]:
        """A file of lines ``name value``."""
        lines = (line.split() for line in self.text(file).split("\n"))
        return {words[0]: number(words[1], 0) for words in lines if len(words) == 2}

    def names(self) -> list[str]:
        """The names of all files."""
        listing = self.kernel.openat(self.directory, ".", DIRECTORY)
        try:
            return sorted(self.kernel.names(listing))
        finally:
            self.kernel.close(listing)


def some(**members: Any) -> Section:
    """The members that are not 0 or empty."""
    return {name: value for name, value in members.items() if value}


def numbers(text: str) -> list[int]:
    """``0-2,4`` as [0, 1, 2, 4]."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if first.isdigit():
            found += range(int(first), (int(last) if dash else int(first)) + 1)
    return found


def pids(reader: Reader) -> Section:
    """pids; no limit is left out. The same on v2."""
    return some(current=reader.number("pids.current"), limit=reader.number("pids.max"))

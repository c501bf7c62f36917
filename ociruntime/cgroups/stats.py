"""What a container uses, read from its cgroups, in the shape of runc's ``events --stats``.

That JSON is what programs around runc parse: names and units are v1's (bytes, nanoseconds), and
members that are 0 are left out where runc leaves them out.
"""

from __future__ import annotations

from ociruntime.cgroups.files import number, read_optional

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.group import Group
    from ociruntime.kernel.kernel import Kernel

    Section = dict[str, Any]

# The name of a controller in the unified hierarchy -> on v1.
V1_NAMES = {"io": "blkio"}


class Reader:
    """Files of one controller's cgroup; one that is missing is empty and counts as 0."""

    def __init__(self, kernel: Kernel, directory: int) -> None:
        self.kernel = kernel
        self.directory = directory

    def text(self, file: str) -> str:
        return read_optional(self.kernel, self.directory, file)

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
        from ociruntime.cgroups.tree import DIRECTORY

        listing = self.kernel.openat(self.directory, ".", DIRECTORY)
        try:
            return sorted(self.kernel.names(listing))
        finally:
            self.kernel.close(listing)


def stats(group: Group) -> Section:
    """The statistics of a group; raises ``OSError`` (ENOENT) when its cgroup is gone."""
    from ociruntime.cgroups import stats_v1, stats_v2

    places = group.placement
    unified = places.unified
    second = Reader(group.kernel, group.directory(unified)) if unified else None

    def reader(controller: str) -> Reader | None:
        place = places.find(V1_NAMES.get(controller, controller))
        return Reader(group.kernel, group.directory(place)) if place else None

    found: Section = {}
    for section, controller in (
        ("cpu", "cpu"),
        ("cpuset", "cpuset"),
        ("memory", "memory"),
        ("pids", "pids"),
        ("blkio", "io"),
        ("hugetlb", "hugetlb"),
    ):
        first = reader(controller)
        if section == "cpu" and (first or reader("cpuacct")):
            found[section] = stats_v1.cpu(reader("cpuacct"), first)
        elif first is not None:
            found[section] = getattr(stats_v1, section)(first)
        elif second is not None:
            found[section] = getattr(stats_v2, section)(second)
        else:
            found[section] = stats_v1.EMPTY[section]
    found["intel_rdt"] = {}
    found["network_interfaces"] = None
    return found


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

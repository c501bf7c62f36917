"""What a container uses, read from its cgroups, in the shape of runc's ``events --stats``.

That JSON is what programs around runc parse: names and units are v1's (bytes, nanoseconds), and
members that are 0 are left out where runc leaves them out.
"""

from __future__ import annotations

from ociruntime.cgroups.reader import EMPTY, Reader
from ociruntime.cgroups.v1 import stats as v1
from ociruntime.cgroups.v2 import stats as v2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.group import Group

    Section = dict[str, Any]

# The name of a controller in the unified hierarchy -> on v1.
V1_NAMES = {"io": "blkio"}
# Section -> controller in the unified hierarchy.
SECTIONS = {
    "cpu": "cpu",
    "cpuset": "cpuset",
    "memory": "memory",
    "pids": "pids",
    "blkio": "io",
    "hugetlb": "hugetlb",
}


def stats(group: Group, *, brief: bool = False) -> Section:
    """What the container of a group uses; raises ``OSError`` (ENOENT) when its cgroup is gone.

    A ``brief`` answer leaves out what it may use (cpuset), and what v1 counts apart of each CPU and
    of the kernel's memory: half of the files.
    """
    places = group.placement
    unified = places.unified
    second = Reader(group.kernel, group.directory(unified)) if unified else None

    def reader(controller: str) -> Reader | None:
        place = places.find(V1_NAMES.get(controller, controller))
        return Reader(group.kernel, group.directory(place)) if place else None

    found: Section = {}
    for section, controller in SECTIONS.items():
        if brief and section == "cpuset":
            continue
        first = reader(controller)
        if section == "cpu" and (first or reader("cpuacct")):
            found[section] = v1.cpu(reader("cpuacct"), first, brief=brief)
        elif section == "memory" and first is not None:
            found[section] = v1.memory(first, brief=brief)
        elif first is not None:
            found[section] = getattr(v1, section)(first)
        elif second is not None:
            found[section] = getattr(v2, section)(second)
        else:
            found[section] = EMPTY[section]
    found["intel_rdt"] = {}
    found["network_interfaces"] = None
    return found

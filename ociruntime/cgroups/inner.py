"""Cgroups below a container's own, which somebody inside or beside it made, for ``exec``."""

from __future__ import annotations

from ociruntime.cgroups.files import read_path
from ociruntime.cgroups.path import POINTER, Place, Placement, split
from ociruntime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel


def choose(placement: Placement, wishes: list[str]) -> Placement:
    """The container's ``placement``, changed by values of --cgroup.

    A wish is ``PATH`` for every hierarchy or ``CONTROLLER[,CONTROLLER...]:PATH`` for some (v1),
    relative to the container's cgroup. Raises ``UsageError`` for a controller that the container
    has no cgroup of, ``PlanError`` for a path with ``..``.
    """
    below: dict[str, list[str]] = {}
    for wish in wishes:
        names, separator, path = wish.rpartition(":")
        parts = split(path, POINTER)
        if not separator:
            below.update((place.key, parts) for place in placement.places)
            continue
        for name in names.split(","):
            below[_key(placement, name, wish)] = parts
    places = [
        Place(place.key, place.mountpoint, place.parts + below.get(place.key, []), place.existing)
        for place in placement.places
    ]
    return Placement(placement.mode, places, placement.unit)


def _key(placement: Placement, name: str, wish: str) -> str:
    """The hierarchy of a controller, or of the name of one without controllers."""
    known = []
    for place in placement.places:
        names = [*place.controllers, place.key, place.key.removeprefix("name=")]
        if name and name in names:
            return place.key
        known += [word for word in dict.fromkeys(names) if word.isalnum() or "_" in word]
    has = ", ".join(known) or "none by name: leave the controller out"
    raise UsageError(f"exec: --cgroup {wish}: no cgroup of {name!a} here; there are: {has}")


def of_process(kernel: Kernel, place: Place, pid: int) -> Place | None:
    """Where a process is in the hierarchy of ``place``; None when it is gone, or not below the
    mount. That cgroup is not ours to remove.
    """
    for line in read_path(kernel, f"/proc/{pid}/cgroup").split("\n"):
        _, _, rest = line.partition(":")
        key, _, path = rest.partition(":")
        if rest and key == place.key:
            parts = [part for part in path.split("/") if part]
            if ".." not in parts and not path.endswith(" (deleted)"):
                return Place(place.key, place.mountpoint, parts, len(parts))
    return None


def of_first_process(kernel: Kernel, place: Place, pid: int) -> Place | None:
    """Where in the unified hierarchy the container's first process is, if that is below ``place``.

    Once somebody inside has given controllers to children (systemd, dockerd), the container's own
    cgroup can have no processes any more (cgroups(7), "no internal processes" rule).
    """
    found = of_process(kernel, place, pid)
    count = len(place.parts)
    if found is None or len(found.parts) <= count or found.parts[:count] != place.parts:
        return None
    return found

"""Where the container's cgroup lies in each hierarchy (config-linux.md, "Cgroups Path").

absolute ``/a/b``
    ``a/b`` below the mountpoint.
relative ``a/b``
    v1: below the caller's own cgroup. v2: below its parent, because a cgroup that has processes of
    its own cannot hand controllers to its children ("no internal process constraint").
absent
    as the relative path ``ociruntime-ID``.

The answer depends on nothing but its arguments, so the same path always gives the same cgroup.
"""

from __future__ import annotations

from ociruntime.cgroups.detect import V2, Hierarchy, Layout
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ociruntime.cgroups.stored import StoredPlacement
    from ociruntime.cgroups.unit import Unit

POINTER = "/linux/cgroupsPath"
UNKNOWN = -1


class Place:
    """The container's cgroup in one hierarchy.

    ``key`` names the hierarchy as ``detect.Hierarchy`` does; ``parts`` are the components below
    ``mountpoint``;
    ``existing`` is how many of them were there before the container (``UNKNOWN`` until a survey):
    the rest is ours to make and to remove.
    """

    __slots__ = ("existing", "key", "mountpoint", "parts")

    def __init__(self, key: str, mountpoint: str, parts: list[str], existing: int) -> None:
        self.key = key
        self.mountpoint = mountpoint
        self.parts = parts
        self.existing = existing

    @property
    def directory(self) -> str:
        """Absolute path of the cgroup."""
        return "/".join([self.mountpoint, *self.parts])

    @property
    def controllers(self) -> list[str]:
        """The v1 controllers of the hierarchy; none for a named or the unified one."""
        return [] if not self.key or self.key.startswith("name=") else self.key.split(",")


class Placement:
    """The container's cgroup in every hierarchy: plain data that goes into the container's state
    and back.

    ``hands_down`` is true when the unified hierarchy has controllers to give; of interest to
    ``create`` only, and not stored. ``unit`` is the systemd unit whose cgroup it is, None with the
    cgroupfs driver. ``delegated`` names the cgroup below the container's own in the unified
    hierarchy in which its processes start, empty where that is its own.
    """

    __slots__ = ("delegated", "hands_down", "mode", "places", "unit")

    def __init__(
        self,
        mode: str,
        places: list[Place],
        unit: Unit | None = None,
        *,
        hands_down: bool = False,
    ) -> None:
        self.mode = mode
        self.places = places
        self.unit = unit
        self.hands_down = hands_down
        self.delegated: list[str] = []

    def find(self, controller: str) -> Place | None:
        """The place in the hierarchy of a v1 controller."""
        for place in self.places:
            if controller in place.controllers:
                return place
        return None

    @property
    def unified(self) -> Place | None:
        """The place in the unified hierarchy of a hybrid or v2 host."""
        for place in self.places:
            if not place.key:
                return place
        return None

    @property
    def paths(self) -> dict[str, str]:
        """Directory of the cgroup by hierarchy; the unified one has the empty name."""
        return {place.key: place.directory for place in self.places}

    def as_dict(self) -> StoredPlacement:
        """For the state: ``from_state`` gives it back."""
        state: StoredPlacement = {
            "mode": self.mode,
            "paths": self.paths,
            "mountpoints": {place.key: place.mountpoint for place in self.places},
            "existing": {place.key: place.existing for place in self.places},
        }
        if self.unit is not None:
            state["unit"] = self.unit.as_dict()
        if self.delegated:
            state["delegated"] = self.delegated
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> Placement:
        """The placement that ``as_dict`` described; raises ``KeyError`` or ``TypeError`` for
        anything else.
        """
        paths, mountpoints, existing = state["paths"], state["mountpoints"], state["existing"]
        if not (
            isinstance(paths, dict) and isinstance(mountpoints, dict) and isinstance(existing, dict)
        ):
            raise TypeError("a placement is made of objects")
        places = []
        for key, directory in paths.items():
            mountpoint = str(mountpoints[key])
            if not str(directory).startswith(mountpoint + "/"):
                raise TypeError(f"{directory} is not below {mountpoint}")
            parts = str(directory)[len(mountpoint) + 1 :].split("/")
            places.append(Place(str(key), mountpoint, parts, int(existing[key])))
        found = cls(str(state["mode"]), places)
        unit = state.get("unit")
        if isinstance(unit, dict):
            from ociruntime.cgroups.unit import Unit

            found.unit = Unit.from_state(unit)
        delegated = state.get("delegated", [])
        if not isinstance(delegated, list):
            raise TypeError("a delegated cgroup is a list of names")
        found.delegated = [str(name) for name in delegated]
        return found


def place(layout: Layout, cgroups_path: str | None, container_id: str) -> Placement:
    """Decide where the container's cgroup is; ``PlanError`` for a path that cannot be one."""
    given = cgroups_path or ""
    parts = split(given, POINTER)
    if given and not parts:
        raise PlanError(
            f"linux.cgroupsPath: {given!r} is the root of the hierarchy, which has no limits",
            POINTER,
            "name a cgroup of the container's own",
        )
    absolute = given.startswith("/")
    if not parts:
        parts = [f"ociruntime-{container_id}"]
    places = []
    for hierarchy in layout.hierarchies:
        base = [] if absolute else _base(layout, hierarchy, given)
        places.append(Place(hierarchy.key, hierarchy.mountpoint, base + parts, UNKNOWN))
    unified = layout.unified
    hands_down = unified is not None and bool(unified.controllers)
    return Placement(layout.mode, places, hands_down=hands_down)


def split(path: str, pointer: str) -> list[str]:
    """The components of a cgroup path; ``..`` is refused, because it would leave what the caller
    was given.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise PlanError(f"cgroup path {path!r} contains '..'", pointer, "write the path without it")
    return parts


def _base(layout: Layout, hierarchy: Hierarchy, given: str) -> list[str]:
    own = hierarchy.own_path()
    if own is None or "/.." in own:
        raise PlanError(
            f"linux.cgroupsPath: {given!r} is relative, and the runtime's own cgroup "
            f"{hierarchy.own} is not in what {hierarchy.mountpoint} shows, {hierarchy.root}",
            POINTER,
            "use an absolute cgroupsPath or mount the hierarchy anew",
        )
    if own == "/":
        return []
    parts = [part for part in own.split("/") if part]
    return parts[:-1] if layout.mode == V2 else parts

"""The systemd unit that a container's cgroup belongs to: plain data, for the state and back."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ociruntime.cgroups.stored import StoredUnit

    # name, D-Bus signature, value
    Property = tuple[str, str, object]

SLICE = ".slice"


class Unit:
    """A transient scope, or a slice.

    ``user`` tells that a user's systemd has it; ``root`` is the cgroup that the hierarchy's mount
    shows as its root. ``description`` is what makes it recognizable as ours, ``started`` whether it
    is known to be. Of annotations, and for the start alone, are ``properties`` and ``subgroup``,
    the cgroup below the unit's that is the container's (empty: it is the unit's own).
    """

    __slots__ = (
        "description",
        "name",
        "properties",
        "root",
        "slice",
        "started",
        "subgroup",
        "user",
    )

    def __init__(self, name: str, slice_name: str, root: str, *, user: bool) -> None:
        self.name = name
        self.slice = slice_name
        self.root = root
        self.user = user
        self.description = ""
        self.started = False
        self.properties: list[Property] = []
        self.subgroup: list[str] = []

    @property
    def is_slice(self) -> bool:
        """A slice holds no processes of its own and is delegated to nobody."""
        return self.name.endswith(SLICE)

    def as_dict(self) -> StoredUnit:
        """For the state: ``from_state`` gives it back."""
        return {
            "name": self.name,
            "slice": self.slice,
            "root": self.root,
            "user": self.user,
            "description": self.description,
            "started": self.started,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> Unit:
        """The unit that ``as_dict`` described; raises ``KeyError`` for anything else."""
        name, slice_name, root = str(state["name"]), str(state["slice"]), str(state["root"])
        unit = cls(name, slice_name, root, user=bool(state["user"]))
        unit.description = str(state["description"])
        unit.started = bool(state["started"])
        return unit

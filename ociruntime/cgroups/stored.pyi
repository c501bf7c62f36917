"""What state.json says of a container's cgroup, as types: ``Placement.as_dict`` and
``Unit.as_dict`` give it, ``from_state`` takes it back.
"""

from typing import NotRequired, TypedDict

class StoredUnit(TypedDict):
    name: str
    slice: str
    root: str
    user: bool
    description: str
    started: bool

class StoredPlacement(TypedDict):
    """``paths``, ``mountpoints`` and ``existing`` are by hierarchy, see ``cgroups.path.Place``."""

    mode: str
    paths: dict[str, str]
    mountpoints: dict[str, str]
    existing: dict[str, int]
    unit: NotRequired[StoredUnit]
    delegated: NotRequired[list[str]]

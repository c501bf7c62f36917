"""Which unit a container's cgroup is, and where it lies, as ``--systemd-cgroup`` has it.

Sources: systemd.md of runc (``slice:prefix:name``, what engines write); systemd.unit(5),
systemd.slice(5). Pure, and imported only with the systemd driver.

    slice   the slice to put the unit in: ``system.slice``, with a user's systemd ``user.slice``
    prefix  the scope is ``prefix-name.scope``; ``name.scope`` without one
    name    of the container; a name that ends in ``.slice`` is the whole unit
"""

from __future__ import annotations

from ociruntime.cgroups.detect import V2
from ociruntime.cgroups.path import POINTER, UNKNOWN, Place, Placement
from ociruntime.cgroups.unit import SLICE, Unit
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.detect import Layout

PREFIX = "ociruntime"
ROOT_SLICE = "-.slice"
# systemd.unit(5), "Description".
VALID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")
LONGEST = 255


def place_unit(
    layout: Layout, cgroups_path: str | None, container_id: str, *, user: bool
) -> Placement:
    """The placement with its unit; ``PlanError`` for a path that names none.

    Where a user's systemd keeps its units is known when it has started one: until then the places
    lie below the root.
    """
    if user and layout.mode != V2:
        raise PlanError(
            f"--systemd-cgroup: a user's systemd can limit nothing on cgroup {layout.mode}",
            POINTER,
            "use cgroup v2, run as root, or leave --systemd-cgroup out",
        )
    slice_name, name = _split(cgroups_path, container_id, user=user)
    root = next((item.root for item in layout.hierarchies if item.key in ("", "name=systemd")), "/")
    unit = Unit(name, slice_name, root, user=user)
    parts = [*expand(slice_name), name] if not unit.is_slice else expand(name)
    places = [Place(item.key, item.mountpoint, parts, UNKNOWN) for item in layout.hierarchies]
    return Placement(layout.mode, places, unit)


def _split(cgroups_path: str | None, container_id: str, *, user: bool) -> tuple[str, str]:
    """(slice, unit) of a cgroupsPath."""
    text = cgroups_path or f":{PREFIX}:{container_id}"
    fields = text.split(":")
    if len(fields) != 3 or not fields[2]:
        raise PlanError(
            'linux.cgroupsPath: expected cgroupsPath to be of format "slice:prefix:name" for '
            f"systemd cgroups, got {text!r} instead",
            POINTER,
            "write it so, or leave --systemd-cgroup out",
        )
    slice_name, prefix, name = fields
    slice_name = slice_name or ("user.slice" if user else "system.slice")
    if not name.endswith(SLICE):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    for unit in (slice_name, name):
        if len(unit) > LONGEST or not VALID.issuperset(unit):
            raise PlanError(
                f"linux.cgroupsPath: {unit!r} cannot be the name of a systemd unit",
                POINTER,
                "use at most 255 letters, digits and :-_.@ (systemd.unit(5))",
            )
    return slice_name, name


def expand(slice_name: str) -> list[str]:
    """The cgroups from the root to a slice: ``a-b.slice`` lies in ``a.slice`` (systemd.slice(5)).

    Raises ``PlanError`` for a name that no slice can have.
    """
    if slice_name == ROOT_SLICE:
        return []
    words = slice_name.removesuffix(SLICE).split("-")
    if not slice_name.endswith(SLICE) or not all(words):
        raise PlanError(
            f"linux.cgroupsPath: {slice_name!r} is not the name of a slice",
            POINTER,
            "use a name such as system.slice or machine-web.slice (systemd.slice(5))",
        )
    return ["-".join(words[: count + 1]) + SLICE for count in range(len(words))]

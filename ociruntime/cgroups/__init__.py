"""Control groups: where they are, the container's own, its limits, and getting rid of them
(docs/cgroups.md).

    detect(kernel)               -> Layout      the host's hierarchies
    place(layout, path, id)      -> Placement   the container's directory in each, plain data
    open_group(kernel, placement)-> Group       create, join, limit, freeze, signal, remove
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from ociruntime.cgroups.path import Placement
    from ociruntime.kernel.kernel import Kernel


def open_group(kernel: Kernel, placement: Placement) -> Group:
    """The group of a placement, in the class of its mode; nothing is opened or created yet."""
    if placement.unit is not None:
        from ociruntime.cgroups.systemd.group import open_unit

        return open_unit(kernel, placement)
    if placement.mode == "v2":
        from ociruntime.cgroups.v2.group import GroupV2

        return GroupV2(kernel, placement)
    from ociruntime.cgroups.v1.group import GroupV1

    return GroupV1(kernel, placement)

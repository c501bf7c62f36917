"""A container's cgroup on cgroup v2.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, chapters "Organizing Processes",
"Controlling Controllers" and "Core Interface Files".
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.group import Group
from ociruntime.cgroups.unified import hand_down, take_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place


class GroupV2(Group):
    """The unified hierarchy alone: every controller, one directory."""

    def _hand_down(self, _place: Place, parent: int, path: str) -> None:
        hand_down(self.kernel, parent, path, self.withheld)

    def _take_over(self, _place: Place, _parent: int, child: int) -> None:
        take_over(self.kernel, child)

    def limits_directory(self, controller: str) -> int:
        if not self.placement.places:
            raise OSError(errno.ENODEV, f"no hierarchy has the controller {controller}")
        return self.directory(self.placement.places[0])

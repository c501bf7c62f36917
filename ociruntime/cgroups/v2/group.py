"""A container's cgroup on cgroup v2.

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, chapters "Organizing Processes",
"Controlling Controllers" and "Core Interface Files".
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.group import Group
from ociruntime.cgroups.v2.controllers import hand_down, take_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.freezer import Freezer
    from ociruntime.cgroups.path import Place
    from ociruntime.spec.documents import ResourcesDeviceConfig


class GroupV2(Group):
    """The unified hierarchy alone: every controller, one directory."""

    def _hand_down(self, _place: Place, parent: int, path: str) -> None:
        hand_down(self.kernel, parent, path, self.withheld)

    def _take_over(self, _place: Place, _parent: int, child: int) -> None:
        take_over(self.kernel, child)

    def apply_devices(self, rules: list[ResourcesDeviceConfig]) -> None:
        if self.placement.places:
            from ociruntime.cgroups.v2.bpf import limit_devices

            limit_devices(self.kernel, self.directory(self.placement.places[0]), rules)

    def freezers(self) -> list[Freezer]:
        from ociruntime.cgroups.v2.freezer import unified_freezer

        return unified_freezer(self)

    def limits_directory(self, controller: str) -> int:
        if not self.placement.places:
            raise OSError(errno.ENODEV, f"no hierarchy has the controller {controller}")
        return self.directory(self.placement.places[0])

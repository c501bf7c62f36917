"""The freezer of the unified hierarchy: ``cgroup.freeze`` and ``cgroup.events``.

Source: Documentation/admin-guide/cgroup-v2.rst, "Core Interface Files".
"""

from __future__ import annotations

from ociruntime.cgroups.files import read_optional, write_file
from ociruntime.cgroups.freezer import FREEZE_SECONDS, Freezer
from ociruntime.cgroups.tree import GONE, wait_for_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group

FREEZE, EVENTS = "cgroup.freeze", "cgroup.events"


class FreezerV2(Freezer):
    """The freezer that every cgroup of the unified hierarchy has."""

    def freeze(self) -> None:
        self.write(self.directory, FREEZE, "1")
        if not wait_for_line(self.kernel, self.directory, EVENTS, "frozen 1", FREEZE_SECONDS):
            raise self.late(FREEZE, "1", "not frozen")

    def thaw(self, *, deep: bool = False) -> None:
        """SIGKILL ends frozen processes as well here, so there is no need to go deep."""
        try:
            write_file(self.kernel, self.directory, FREEZE, "0")
        except OSError as error:
            if error.errno not in GONE:
                raise self.refused(FREEZE, "0", error) from None

    def frozen(self) -> bool:
        events = read_optional(self.kernel, self.directory, EVENTS)
        return "frozen 1" in events.split("\n") or (
            read_optional(self.kernel, self.directory, FREEZE) == "1"
        )


def unified_freezer(group: Group) -> list[Freezer]:
    """That of a group's cgroup in the unified hierarchy; none where there is none, or no more."""
    place = group.placement.unified
    if place is None:
        return []
    try:
        return [FreezerV2(group.kernel, group.directory(place), place.directory)]
    except FileNotFoundError:
        return []

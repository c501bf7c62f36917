"""A container's cgroups on cgroup v1: one directory in each hierarchy; on a hybrid host in the
unified one as well.
 Sources: cgroups(7), cpuset(7),
Documentation/admin-guide/cgroup-v1/{cpusets,freezer-subsystem,memory,devices}.rst.
"""

from __future__ import annotations

import errno
from time import monotonic, sleep

from ociruntime.cgroups.devices import v1_lines
from ociruntime.cgroups.files import number, read_file, read_optional, write_file
from ociruntime.cgroups.group import FREEZE_SECONDS, Group
from ociruntime.cgroups.tree import FIRST_PAUSE, GONE, LONGEST_PAUSE
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place
    from ociruntime.cgroups.setting import Setting

PERIOD = "cpu.cfs_period_us"
QUOTA = "cpu.cfs_quota_us"
LIMIT = "memory.limit_in_bytes"
SWAP = "memory.memsw.limit_in_bytes"

# Any hierarchy would do to find processes; these are the ones that a manager is least likely to
# rearrange.
PROCESS_CONTROLLERS = ("freezer", "pids", "devices", "memory")


class GroupV1(Group):
    """v1, hybrid, and "no cgroups" (a placement without places, in which everything is a no-op)."""

    def _take_over(self, place: Place, parent: int, child: int) -> None:
        if "cpuset" not in place.controllers:
            return
        # A new cpuset has no CPUs and no memory nodes, and then no process can join it.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not read_file(self.kernel, child, file):
                write_file(self.kernel, child, file, read_file(self.kernel, parent, file))

    def open_for_clone(self) -> int:
        for place in self.placement.places:
            if not place.key:
                return self.directory(place)
        return -1

    def open_to_join(self) -> dict[str, int]:
        return {
            place.key: self.kernel.openat(self.directory(place), "tasks", c.O_WRONLY)
            for place in self.placement.places
            if place.key
        }

    def _process_place(self) -> Place | None:
        for controller in PROCESS_CONTROLLERS:
            place = self.placement.find(controller)
            if place is not None:
                return place
        return super()._process_place()

    def _limits_directory(self, controller: str) -> int:
        place = self.placement.find(controller)
        if place is None:
            raise OSError(errno.ENODEV, f"no hierarchy has the controller {controller}")
        return self.directory(place)

    def apply(self, settings: list[Setting]) -> None:
        files = [setting.file for setting in settings]
        if LIMIT in files and SWAP in files:
            low, high = files.index(LIMIT), files.index(SWAP)
            if self._swap_first(settings[high].value):
                # At no moment may the limit be above limit plus swap: growing starts with the
                # larger of the two.
                settings = [*settings]
                settings[low], settings[high] = settings[high], settings[low]
        period: Setting | None = None
        for setting in settings:
            try:
                self.write(setting)
            except StepError as error:
                # The kernel refuses a period that contradicts the quota of the moment: then the
                # quota goes first.
                if (setting.file, error.number) != (PERIOD, errno.EINVAL) or QUOTA not in files:
                    raise
                period = setting
            if period is not None and setting.file == QUOTA:
                self.write(period)

    def _swap_first(self, swap: str) -> bool:
        text = read_optional(self.kernel, self._limits_directory("memory"), LIMIT)
        return swap == "-1" or number(text, 0) < int(swap)

    def apply_devices(self, rules: list[dict[str, object]]) -> None:
        place = self.placement.find("devices")
        if place is None:
            detail = "no devices hierarchy is mounted, so device access cannot be limited; mount it"
            raise StepError("linux.resources.devices", 0, detail)
        directory = self.directory(place)
        current = read_file(self.kernel, directory, "devices.list")
        for file, line, is_default in v1_lines(rules, current):
            try:
                write_file(self.kernel, directory, file, line)
            except OSError as error:
                refused = error.errno or 0
                if refused == errno.EPERM and is_default:
                    continue  # what an outer container may not, an inner one goes without
                label = f"linux.resources.devices ({file} = {line})"
                raise StepError(label, refused, _explain_device(line, refused)) from None

    def freeze(self) -> bool:
        place = self.placement.find("freezer")
        if place is None:
            return False
        directory = self.directory(place)
        end = monotonic() + FREEZE_SECONDS
        pause = FIRST_PAUSE
        while True:
            # Written again each time: a process forking at the wrong moment leaves the cgroup
            # FREEZING for good.
            write_file(self.kernel, directory, "freezer.state", "FROZEN")
            state = read_file(self.kernel, directory, "freezer.state")
            if state == "FROZEN":
                return True
            if monotonic() >= end:
                detail = f"still {state} after {FREEZE_SECONDS:g} s; is a process in it in state D?"
                raise StepError(f"cgroup {place.directory} (freezer.state = FROZEN)", 0, detail)
            sleep(pause)
            if pause == LONGEST_PAUSE:
                write_file(self.kernel, directory, "freezer.state", "THAWED")
                pause = FIRST_PAUSE
            pause = min(pause * 2, LONGEST_PAUSE)

    def thaw(self) -> None:
        place = self.placement.find("freezer")
        if place is None:
            return
        try:
            write_file(self.kernel, self.directory(place), "freezer.state", "THAWED")
        except OSError as error:
            if error.errno not in GONE:
                raise StepError(
                    f"cgroup {place.directory} (freezer.state = THAWED)", error.errno or 0
                ) from None

    def frozen(self) -> bool:
        place = self.placement.find("freezer")
        if place is None:
            return False
        try:
            state = read_file(self.kernel, self.directory(place), "freezer.state")
        except OSError as error:
            if error.errno in GONE:
                return False
            raise
        return state in ("FREEZING", "FROZEN")


def _explain_device(line: str, refused: int) -> str:
    if refused == errno.EPERM:
        return "the parent cgroup does not allow it; allow it there, or choose another cgroupsPath"
    if refused == errno.EINVAL and line.startswith("a"):
        return "it can be changed only without child cgroups; choose another linux.cgroupsPath"
    return ""

"""A container's cgroups on cgroup v1: one directory in each hierarchy; on a hybrid host in the
unified one as well.

Sources: cgroups(7), cpuset(7),
Documentation/admin-guide/cgroup-v1/{cpusets,freezer-subsystem,memory,devices}.rst.
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.files import read_file, write_file
from ociruntime.cgroups.group import Group
from ociruntime.cgroups.tree import DIRECTORY
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.freezer import Freezer
    from ociruntime.cgroups.path import Place
    from ociruntime.spec.documents import ResourcesDeviceConfig

# Any hierarchy would do to find processes; these are the ones that a manager is least likely to
# rearrange.
PROCESS_CONTROLLERS = ("freezer", "pids", "devices", "memory")


class GroupV1(Group):
    """v1, hybrid, and "no cgroups" (a placement without places, in which everything is a no-op)."""

    def _take_over(self, place: Place, parent: int, child: int) -> None:
        if not place.key and self.placement.hands_down:
            from ociruntime.cgroups.v2.controllers import take_over

            take_over(self.kernel, child)
        if "cpuset" not in place.controllers:
            return
        # A new cpuset has no CPUs and no memory nodes, and then no process can join it.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not read_file(self.kernel, child, file):
                write_file(self.kernel, child, file, read_file(self.kernel, parent, file))

    def process_place(self) -> Place | None:
        for controller in PROCESS_CONTROLLERS:
            place = self.placement.find(controller)
            if place is not None:
                return place
        return super().process_place()

    def limits_directory(self, controller: str) -> int:
        place = self.placement.find(controller)
        if place is None:
            place = self.placement.unified
            if place is None:
                raise OSError(errno.ENODEV, f"no hierarchy has the controller {controller}")
            if self.placement.hands_down:
                self._enable(place, controller)
        return self.directory(place)

    def _enable(self, place: Place, controller: str) -> None:
        """Have a controller of the unified hierarchy handed down to the container's cgroup.

        Only when something is to be limited by it: a controller that cgroup v2 has in use cannot
        be mounted as v1 any more, and on a hybrid host somebody else may want to do that.
        """
        from ociruntime.cgroups.v2.controllers import hand_down

        kernel = self.kernel
        path = place.mountpoint
        here = kernel.open(path, DIRECTORY)
        try:
            for name in place.parts:
                hand_down(kernel, here, path, self.withheld, controller)
                path += "/" + name
                child = kernel.openat(here, name, DIRECTORY)
                kernel.close(here)
                here = child
        finally:
            kernel.close(here)

    def apply_devices(self, rules: list[ResourcesDeviceConfig]) -> None:
        place = self.placement.find("devices")
        if place is None and self.placement.unified is not None:
            from ociruntime.cgroups.v2.bpf import limit_devices

            limit_devices(self.kernel, self.directory(self.placement.unified), rules)
            return
        if place is None:
            detail = "no devices hierarchy is mounted, so device access cannot be limited; mount it"
            raise StepError("linux.resources.devices", 0, detail)
        from ociruntime.cgroups.v1.devices import v1_lines

        directory = self.directory(place)
        current = read_file(self.kernel, directory, "devices.list")
        opened, fd = "", -1
        try:
            for file, line, is_default in v1_lines(rules, current):
                try:
                    if file != opened:
                        fd, opened = self._open_next(directory, file, fd), file
                    self.kernel.write(fd, line.encode())
                except OSError as error:
                    refused = error.errno or 0
                    if refused == errno.EPERM and is_default:
                        continue  # what an outer container may not, an inner one goes without
                    label = f"linux.resources.devices ({file} = {line})"
                    raise StepError(label, refused, _explain_device(line, refused)) from None
        finally:
            if fd >= 0:
                self.kernel.close(fd)

    def _open_next(self, directory: int, file: str, fd: int) -> int:
        """``file`` instead of ``fd``: each write(2) is a rule, however many come through one."""
        following = self.kernel.openat(directory, file, c.O_WRONLY)
        if fd >= 0:
            self.kernel.close(fd)
        return following

    def freezers(self) -> list[Freezer]:
        """The controller's, and behind it the unified hierarchy's."""
        from ociruntime.cgroups.v1.freezer import FreezerV1
        from ociruntime.cgroups.v2.freezer import unified_freezer

        found: list[Freezer] = []
        place = self.placement.find("freezer")
        if place is not None:
            try:
                found.append(FreezerV1(self.kernel, self.directory(place), place.directory))
            except FileNotFoundError:
                pass
        return found + unified_freezer(self)


def _explain_device(line: str, refused: int) -> str:
    if refused == errno.EPERM:
        return "the parent cgroup does not allow it; allow it there, or choose another cgroupsPath"
    if refused == errno.EINVAL and line.startswith("a"):
        return "it can be changed only without child cgroups; choose another linux.cgroupsPath"
    return ""

"""The systemd driver: the container's cgroup is a unit of systemd's, most often a transient scope.

systemd makes the cgroup and is told the limits as properties; after that the classes of ``v1`` and
``v2`` work in it as in any other, so that what is written in the end is the same. A scope cannot be
started without a process: it gets a *placeholder*, which ends when init is inside. So init is made
in its cgroup here, too, and never runs outside of it.

jeepney is imported by ``bus``, when the first call is made: state, kill and exec make none.
"""

from __future__ import annotations

import os

from ociruntime.cgroups import tree
from ociruntime.cgroups.detect import V2
from ociruntime.cgroups.devices import rules_of
from ociruntime.cgroups.files import read_path, write_file
from ociruntime.cgroups.frozen import is_frozen
from ociruntime.cgroups.group import Group
from ociruntime.cgroups.path import UNKNOWN
from ociruntime.cgroups.removal import kill_ours
from ociruntime.cgroups.systemd import properties as units
from ociruntime.cgroups.v1.group import GroupV1
from ociruntime.cgroups.v2.group import GroupV2
from ociruntime.errors import OciError, StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place, Placement
    from ociruntime.cgroups.setting import Setting
    from ociruntime.cgroups.systemd.bus import Manager
    from ociruntime.cgroups.unit import Property, Unit
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.spec.documents import ResourcesDeviceConfig

# v1 controllers whose directories systemd makes and removes; the others' are ours.
MANAGED = frozenset(("blkio", "cpu", "cpuacct", "devices", "memory", "pids"))

TAKEN = (
    "a unit of this name is active; delete its container, stop it with `systemctl stop`, or choose "
    "another name in linux.cgroupsPath"
)


def open_unit(kernel: Kernel, placement: Placement) -> UnitGroup:
    """The group of a placement that has a unit."""
    return UnitV2(kernel, placement) if placement.mode == V2 else UnitV1(kernel, placement)


class UnitGroup(Group):
    """What a unit changes in a group, whatever the version of cgroups."""

    def __init__(self, kernel: Kernel, placement: Placement) -> None:
        super().__init__(kernel, placement)
        assert placement.unit is not None
        self.unit: Unit = placement.unit
        # Pid, pidfd, and the end of a pipe: the process ends when it is closed, so at the latest
        # with us.
        self._placeholder: tuple[int, int, int] | None = None
        # The caller may not put a process here, so systemd has to.
        self.by_systemd = False

    def connect(self) -> Manager:
        """A connection to the systemd that has the unit; raises ``StepError``."""
        try:
            from ociruntime.cgroups.systemd.bus import Manager
        except ImportError as error:
            detail = f"{error}; install it (Debian: python3-jeepney), or use cgroupfs"
            raise StepError("--systemd-cgroup", 0, detail) from None
        return Manager(user=self.unit.user)

    # making it

    def survey(self) -> None:
        """Like the base class; directories that systemd manages are its own up to the unit."""
        unit = self.unit
        if not unit.description:
            name = unit.name.rpartition(".")[0]
            unit.description = f"ociruntime container {name} (made by process {os.getpid()})"
        for place in self.placement.places:
            if place.existing == UNKNOWN and _managed(place):
                # A slice is there for others, too; what runs elsewhere is not ours to kill.
                taken = not unit.is_slice and self._is_taken(place)
                place.existing = len(place.parts) - (0 if taken else 1)
        super().survey()

    def _is_taken(self, place: Place) -> bool:
        """Whether the unit's cgroup is there, and has processes or is frozen."""
        try:
            inside = tree.processes(self.kernel, self.directory(place))
        except OSError as error:
            if error.errno not in tree.GONE:
                raise
            return False
        return bool(inside) or is_frozen(self.kernel, {place.key: place.directory})

    def create(self) -> None:
        """Start the unit, and make the directories that systemd did not.

        Refused, as without systemd, when the cgroup has processes or is frozen: starting the unit
        would make them the unit's.
        """
        from ociruntime.cgroups.systemd.bus import EXISTS, Refused

        self.survey()
        unit = self.unit
        with self.connect() as manager:
            if unit.user:
                self._expect(manager)
            if not unit.is_slice:
                self._refuse_taken(manager)
            wanted = self._start_properties()
            try:
                try:
                    manager.start(unit.name, wanted)
                except Refused as error:
                    if error.name != EXISTS:
                        raise
                    # One that failed, or is about to end, may keep the name for a moment.
                    manager.reset_failed(unit.name)
                    manager.start(unit.name, wanted)
                unit.started = True
            except Refused as error:
                if error.name != EXISTS or not unit.is_slice:
                    raise self._explained(error, EXISTS) from None
            self._locate(manager)
        if unit.subgroup and self.placement.mode == V2:
            self._clear_unit()
        for place in self.placement.places:
            self._make(place)

    def _found(self, place: Place) -> None:
        """Nothing: systemd has just made it."""

    def _refuse_taken(self, manager: Manager) -> None:
        from ociruntime.cgroups.systemd.bus import Refused

        try:
            self._refuse_occupied()
        except StepError:
            try:
                state = manager.unit_property(self.unit.name, "Unit", "ActiveState")
            except Refused:
                state = ""
            if state in ("active", "activating", "reloading"):
                raise StepError(f"systemd unit {self.unit.name}", 0, TAKEN) from None
            raise

    def _expect(self, manager: Manager) -> None:
        """Look where a user's systemd will put the unit: below its own cgroup."""
        root = self.unit.root.rstrip("/")
        above = [part for part in manager.control_group().removeprefix(root).split("/") if part]
        for place in self.placement.places:
            place.parts = above + place.parts
            place.existing = UNKNOWN
        self.survey()

    def _start_properties(self) -> list[Property]:
        unit = self.unit
        wanted: list[Property] = [("Description", "s", unit.description)]
        if unit.is_slice:
            wanted.append(("Wants", "as", [unit.slice]))
        else:
            wanted.append(("Slice", "s", unit.slice))
            wanted.append(("PIDs", "au", [self._start_placeholder()]))
        wanted += units.start(self.placement.mode, scope=not unit.is_slice)
        return wanted + unit.properties

    def _start_placeholder(self) -> int:
        ours, theirs = os.pipe()[::-1]
        pid, pidfd = self.kernel.clone(0)
        if pid == 0:
            try:
                os.close(ours)
                os.read(theirs, 1)
            finally:
                os._exit(0)
        os.close(theirs)
        self._placeholder = pid, pidfd, ours
        return pid

    def fds(self) -> list[int]:
        """Like the base class, with what belongs to the placeholder."""
        return super().fds() + list((self._placeholder or ())[1:])

    def end_placeholder(self) -> None:
        """Let the placeholder end: init is inside, or nobody will be."""
        if self._placeholder is not None:
            pid, pidfd, pipe = self._placeholder
            self._placeholder = None
            self.kernel.pidfd_send_signal(pidfd, c.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
            os.close(pipe)

    def _locate(self, manager: Manager) -> None:
        """Put into the placement where systemd has made the cgroup: a user's is below his own."""
        unit = self.unit
        if self._placeholder is None:
            path = str(manager.unit_property(unit.name, "Slice", "ControlGroup"))
        else:
            path = self._path_of(self._placeholder[0])
        root = unit.root.rstrip("/")
        parts = [part for part in path.removeprefix(root).split("/") if part]
        if not path.startswith(root + "/") or parts[-1:] != [unit.name]:
            detail = (
                f"systemd put the process into {path}; does it see another pid or cgroup "
                "namespace than we do? Use --cgroup-manager cgroupfs there"
            )
            raise StepError(f"systemd unit {unit.name}", 0, detail)
        for place in self.placement.places:
            if _managed(place):
                place.existing = len(parts) - 1
            elif place.parts != parts:
                place.existing = UNKNOWN
            place.parts = parts + unit.subgroup
        super().survey()

    def _clear_unit(self) -> None:
        """Move the placeholder into the subgroup: the unit's own cgroup can give controllers to
        that only while it has no process (cgroups(7), "no internal processes" rule).
        """
        if self._placeholder is None:
            return
        from ociruntime.cgroups.v2.controllers import make_levels

        names, place, kernel = self.unit.subgroup, self.placement.places[0], self.kernel
        path = "/".join([place.mountpoint, *place.parts[: -len(names)]])
        fds = [kernel.open(path, tree.DIRECTORY)]
        try:
            fds += make_levels(kernel, fds[0], path, names, "run.oci.systemd.subgroup")
            write_file(kernel, fds[-1], "cgroup.procs", str(self._placeholder[0]))
        finally:
            for fd in fds:
                kernel.close(fd)

    def _path_of(self, pid: int) -> str:
        """The cgroup of a process in the hierarchy by which systemd tells processes."""
        found = ""
        # A cgroup's name may hold whatever str.splitlines takes for a line end, but no "\n".
        for line in read_path(self.kernel, f"/proc/{pid}/cgroup").split("\n")[:-1]:
            _, key, path = line.split(":", 2)
            if (key == "name=systemd" and self.placement.mode != V2) or (not key and not found):
                found = path
        return found

    def _explained(self, error: OciError, exists: str) -> StepError:
        """A refusal of systemd's, with what can be done about it."""
        text = str(error)
        if getattr(error, "name", "") == exists:
            text = TAKEN
        return StepError(f"systemd unit {self.unit.name}", 0, text)

    # processes

    def prefer_file(self) -> None:
        """Like the base class, unless ``adopt`` has to follow."""
        if not self.unit.user or self._may_join():
            super().prefer_file()

    def open_for_clone(self) -> int:
        """Like the base class; -1 where the caller may not and ``adopt`` has to follow."""
        if self.unit.user and not self._may_join():
            self.by_systemd = True
            return -1
        return super().open_for_clone()

    def adopt(self, pid: int) -> None:
        """Have systemd put a process into the unit that ``open_for_clone`` could not be used
        for.
        """
        if not self.by_systemd:
            return
        from ociruntime.cgroups.systemd.bus import Refused

        try:
            parts = self.placement.places[0].parts
            below = parts[parts.index(self.unit.name) + 1 :]
            with self.connect() as manager:
                manager.attach(self.unit.name, "".join(f"/{name}" for name in below), pid)
        except Refused as error:
            raise StepError(f"systemd unit {self.unit.name}", 0, str(error)) from None

    def _may_join(self) -> bool:
        """Whether the kernel lets us move processes from our own cgroup to this one: who does it
        must be able to write the nearest one above both (cgroup-v2.rst, "Delegation Containment").
        """
        place = self.placement.places[0]
        own = self._path_of(os.getpid()).removeprefix(self.unit.root.rstrip("/"))
        common: list[str] = []
        for one, other in zip(own.split("/")[1:], place.parts, strict=False):
            if one != other:
                break
            common.append(one)
        directory = "/".join([place.mountpoint, *common])
        return os.access(f"{directory}/cgroup.procs", os.W_OK)

    # limits

    def apply(self, settings: list[Setting]) -> None:
        """Tell systemd, then write the files as without it: exactly, and those it does not know."""
        wanted = units.limits(settings, self.placement.mode, self._period())
        if wanted:
            labels = ", ".join(setting.label for setting in settings)
            self._set_properties(wanted, labels)
        if any(setting.file == "cpu.idle" and setting.value == "1" for setting in settings):
            # systemd has made it idle by now, and then it has no share to write.
            settings = [item for item in settings if item.file not in ("cpu.weight", "cpu.shares")]
        super().apply(settings)

    def _period(self) -> int:
        """The period (us) that a quota without one refers to."""
        return units.DEFAULT_PERIOD

    def _set_properties(self, wanted: list[Property], label: str) -> None:
        from ociruntime.cgroups.systemd.bus import Refused

        with self.connect() as manager:
            if ("CPUWeight", "t", 0) in wanted and manager.version() < units.IDLE_VERSION:
                wanted = [item for item in wanted if item[0] != "CPUWeight"]
            try:
                manager.set_properties(self.unit.name, wanted)
            except Refused as error:
                detail = f"systemd unit {self.unit.name}: {error}"
                raise StepError(label, 0, detail) from None

    # removal

    def close(self) -> None:
        self.end_placeholder()
        super().close()

    def remove(self, deadline: float = 5.0, *, kill: bool = False) -> None:
        """Like the base class, with the unit stopped and forgotten in between.

        Nothing is done to somebody else's unit that has the name. When systemd cannot be reached
        any more, a scope ends with its last process.
        """
        self.end_placeholder()
        if not self.placement.places or not self._is_ours():
            return
        if kill:
            kill_ours(self)
        try:
            with self.connect() as manager:
                manager.stop(self.unit.name)
                manager.reset_failed(self.unit.name)
        except OciError:
            pass  # what matters are the processes and directories: super() tells of those
        super().remove(deadline, kill=kill)

    def _is_ours(self) -> bool:
        """Whether we have started the unit, which a killed ``create`` could not write down: it is
        recognized by its description then. One that does not exist (any more) is nobody else's.
        """
        unit = self.unit
        if unit.started:
            return True
        from ociruntime.cgroups.systemd.bus import MISSING, Refused

        try:
            with self.connect() as manager:
                found = manager.unit_property(unit.name, "Unit", "Description")
        except Refused as error:
            return error.name in MISSING
        except StepError:
            return False
        return bool(unit.description) and found == unit.description


class UnitV2(UnitGroup, GroupV2):
    """A unit's group on cgroup v2."""


class UnitV1(UnitGroup, GroupV1):
    """A unit's group on cgroup v1 and hybrid."""

    def _period(self) -> int:
        place = self.placement.find("cpu")
        if place is None:
            return units.DEFAULT_PERIOD
        text = read_path(self.kernel, f"{place.directory}/cpu.cfs_period_us")
        return int(text or units.DEFAULT_PERIOD)

    def apply_devices(self, rules: list[ResourcesDeviceConfig]) -> None:
        """Tell systemd as well: it would allow everything again at its next reload."""
        drivers = read_path(self.kernel, "/proc/devices")
        wanted = units.devices(rules_of(rules), drivers)
        self._set_properties(wanted, "linux.resources.devices")
        super().apply_devices(rules)


def _managed(place: Place) -> bool:
    """Whether systemd makes and removes the directories of this place."""
    controllers = place.controllers
    return not controllers or not MANAGED.isdisjoint(controllers)

"""The container's control group as a thing one can create, join, limit, freeze, kill and remove.

``cgroups.open_group`` gives the class for the host's mode: ``v1.group.GroupV1`` (also hybrid, and
no cgroups at all), ``v2.group.GroupV2``, or those of ``systemd.group``. All work on directory fds
whose file system was checked, so that what happens to the paths later does not matter.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.cgroups import tree
from ociruntime.cgroups.explain import (
    explain_create,
    explain_foreign,
    explain_missing,
    explain_write,
)
from ociruntime.cgroups.files import read_optional, read_path, write_file
from ociruntime.cgroups.frozen import is_frozen
from ociruntime.cgroups.join import join_error
from ociruntime.cgroups.path import UNKNOWN
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.explain import Withheld
    from ociruntime.cgroups.freezer import Freezer
    from ociruntime.cgroups.path import Place, Placement
    from ociruntime.cgroups.setting import Setting
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.spec.documents import ResourcesDeviceConfig

# How often a parent may vanish under our hands.
RACES = 16


class Group:
    """What both versions have in common.

    Errors of the kernel come as ``StepError`` that names directory or file, value and cure.
    """

    def __init__(self, kernel: Kernel, placement: Placement) -> None:
        self.kernel = kernel
        self.placement = placement
        self.withheld: Withheld = {}
        self.by_file = False  # the unified cgroup is somebody else's (``prefer_file``)
        self._fds: dict[str, int] = {}

    # directories

    def survey(self) -> None:
        """Note in the placement which of its directories exist already; changes nothing.

        What is missing now is what ``create`` will make and what ``remove`` may take away. Store
        the placement after the survey and before ``create``, and a later ``delete`` removes neither
        too much nor too little, even if this process is killed between the two.
        """
        for place in self.placement.places:
            if place.existing == UNKNOWN:
                place.existing = self._levels(place)

    def create(self) -> None:
        """Make a container's cgroup.

        Refused, as by runc, when the cgroup or one below it has processes, and when it is frozen;
        it may have children.
        """
        self.make()
        self._refuse_occupied()

    def make(self) -> None:
        """Make the missing directories, level by level."""
        self.survey()
        for place in self.placement.places:
            self._make(place)

    def directory(self, place: Place) -> int:
        """The fd of the cgroup; raises ``OSError`` when it does not exist."""
        fd = self._fds.get(place.key)
        if fd is None:
            fd = self.kernel.open(place.directory, tree.DIRECTORY)
            self._fds[place.key] = fd
            self._check_filesystem(place, fd)
        return fd

    def missing(self) -> Place | None:
        """The first place whose cgroup does not exist, though the container has been made."""
        for place in self.placement.places:
            if self._levels(place) < len(place.parts):
                return place
        return None

    def fds(self) -> list[int]:
        """The open directory fds: no process of the container may have one (CVE-2024-21626)."""
        return list(self._fds.values())

    def close(self) -> None:
        """Close the directory fds; they are opened again when needed."""
        for fd in self._fds.values():
            self.kernel.close(fd)
        self._fds.clear()

    def _levels(self, place: Place) -> int:
        """How many components of the place exist."""
        for count in range(len(place.parts), 0, -1):
            path = "/".join([place.mountpoint, *place.parts[:count]])
            try:
                fd = self.kernel.open(path, c.O_PATH | c.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                continue
            self.kernel.close(fd)
            return count
        return 0

    def _make(self, place: Place) -> None:
        for attempt in range(RACES):
            try:
                self._fds[place.key] = self._walk(place)
            except StepError as error:
                # Another container, deleted right now, may take a parent away that it once made.
                if error.number not in tree.GONE or attempt == RACES - 1:
                    raise
                place.existing = min(place.existing, self._levels(place))
            else:
                return

    def _walk(self, place: Place) -> int:
        """Make what is missing of one place; the fd of its last directory."""
        kernel = self.kernel
        here = kernel.open(place.mountpoint, tree.DIRECTORY)
        path = place.mountpoint
        try:
            self._check_filesystem(place, here)
            for level, name in enumerate(place.parts):
                self._hand_down(place, here, path)
                path += "/" + name
                found = False
                if level >= place.existing:
                    try:
                        kernel.mkdirat(here, name, 0o755)
                    except FileExistsError:
                        found = True  # another container with the same parent was faster
                child = kernel.openat(here, name, tree.DIRECTORY)
                if found and level == len(place.parts) - 1:
                    self._found(place)
                parent, here = here, child
                try:
                    self._take_over(place, parent, child)
                finally:
                    kernel.close(parent)
        except OSError as error:
            kernel.close(here)
            number = error.errno or 0
            raise StepError(f"cgroup {path}", number, explain_create(number)) from None
        except StepError:
            kernel.close(here)
            raise
        return here

    def _found(self, place: Place) -> None:
        """The last directory is there, though it was not when the survey looked: not ours."""
        place.existing = len(place.parts)

    def _hand_down(self, _place: Place, parent: int, path: str) -> None:
        """Prepare the cgroup ``parent`` at ``path`` for getting the next level of the place as its
        child.
        """

    def _take_over(self, place: Place, parent: int, child: int) -> None:
        """Prepare a level of the place with what its parent has."""

    def _check_filesystem(self, place: Place, fd: int) -> None:
        """Never write to something that only looks like a hierarchy: an overmount or a plain
        directory.
        """
        magic = c.CGROUP_SUPER_MAGIC if place.key else c.CGROUP2_SUPER_MAGIC
        if self.kernel.filesystem(fd) != magic:
            from ociruntime.kernel.mountinfo import mount_points

            points = mount_points(read_path(self.kernel, "/proc/self/mountinfo"))
            raise StepError(f"cgroup {place.directory}", 0, explain_foreign(place, points))

    def _refuse_occupied(self) -> None:
        for place in self.placement.places:
            if place.existing == len(place.parts):
                found = len(tree.processes(self.kernel, self.directory(place)))
                if found:
                    detail = (
                        f"it is not empty, {found} process(es) are in it or below it; stop them "
                        "or choose another linux.cgroupsPath"
                    )
                    raise StepError(f"cgroup {place.directory}", 0, detail)
        if self.frozen():
            place = self.process_place() or self.placement.places[0]
            detail = (
                "it, or one above it, is frozen; thaw that, or choose another linux.cgroupsPath"
            )
            raise StepError(f"cgroup {place.directory}", 0, detail)

    # processes

    def prefer_file(self) -> None:
        """Have the unified cgroup joined by a file where it belongs to another user.

        For a process that is cloned in a user namespace which it has joined: there it is nobody to
        the cgroup's owner, and clone3(2) asks for its own rights. A file is judged by those of who
        opened it, at the price of an RCU grace period.
        """
        place = self.placement.unified
        if place is not None:
            found = self.kernel.stat(self.directory(place), "cgroup.procs")
            self.by_file = found.uid != os.geteuid()

    def open_for_clone(self) -> int:
        """An fd for CLONE_INTO_CGROUP, owned by the group; -1 without a unified hierarchy, and
        where that one is joined by a file.
        """
        place = self.placement.unified
        return -1 if place is None or self.by_file else self.directory(place)

    def open_to_join(self) -> dict[str, int]:
        """By hierarchy, fds through which a clone joins what ``open_for_clone`` does not cover
        (``join_self``).
        """
        fds: dict[str, int] = {}
        try:
            for place in self.placement.places:
                if place.key:
                    fds[place.key] = self.open_file(place)
        except OSError:
            for fd in fds.values():
                self.kernel.close(fd)
            raise
        return fds

    def open_file(self, place: Place) -> int:
        """An fd by which a process puts itself into the cgroup; its directory is not opened for
        that.
        """
        file = "tasks" if place.key else "cgroup.procs"
        directory = self._fds.get(place.key)
        if directory is not None:
            return self.kernel.openat(directory, file, c.O_WRONLY)
        fd = self.kernel.open(f"{place.directory}/{file}", c.O_WRONLY)
        try:
            self._check_filesystem(place, fd)
        except StepError:
            self.kernel.close(fd)
            raise
        return fd

    def join(self, pid: int) -> None:
        """Move any process into the cgroup in every hierarchy.

        On an idle host this takes 10 ms: the kernel waits for an RCU grace period, so that no
        thread of the process can appear or end meanwhile. Clones of the runtime avoid that by
        ``open_for_clone`` and ``open_to_join``.
        """
        for place in self.placement.places:
            try:
                write_file(self.kernel, self.directory(place), "cgroup.procs", str(pid))
            except OSError as error:
                raise join_error(place, error) from None

    def all_procs(self) -> list[int]:
        """The processes of the cgroup and of all below it, as pids of the caller's PID namespace;
        [] when it is gone.
        """
        place = self.process_place()
        if place is None:
            return []
        try:
            return tree.processes(self.kernel, self.directory(place))
        except OSError as error:
            if error.errno in tree.GONE:
                return []
            raise

    def process_place(self) -> Place | None:
        """The place whose list of processes is asked."""
        return self.placement.places[0] if self.placement.places else None

    # limits

    def apply(self, settings: list[Setting]) -> None:
        """Write resource settings in their order; raises ``StepError`` for what is refused.

        Some values limit each other (memory and memory with swap, quota and period and burst,
        weight and idle), and which one has to go first depends on those of the moment. So a value
        that is invalid now is tried again when others of its controller have been written.
        """
        waiting = settings
        while waiting:
            refused: list[Setting] = []
            first: StepError | None = None
            for setting in waiting:
                try:
                    self.write(setting)
                except StepError as error:
                    others = sum(1 for item in waiting if item.controller == setting.controller)
                    if error.number != errno.EINVAL or others == 1:
                        raise
                    first = first or error
                    refused.append(setting)
            if first is not None and len(refused) == len(waiting):
                raise first
            waiting = refused

    def write(self, setting: Setting) -> None:
        """Write one setting."""
        try:
            directory = self.limits_directory(setting.controller)
            try:
                write_file(self.kernel, directory, setting.file, setting.value)
            except FileNotFoundError:
                if not setting.other_file:
                    raise
                write_file(self.kernel, directory, setting.other_file, setting.other_value)
        except OSError as error:
            number = error.errno or 0
            if number == errno.ENOENT and setting.optional:
                return
            raise StepError(setting.label, number, self._explain(setting, number)) from None

    def limits_directory(self, controller: str) -> int:
        """An fd of the directory that has the controller's files; raises ``OSError`` without
        one.
        """
        raise NotImplementedError

    def _explain(self, setting: Setting, number: int) -> str:
        """What the refusal of a setting means and what to do about it."""
        gone = self.missing() if number in tree.GONE else None
        if gone is not None:
            return f"the cgroup {gone.directory} was removed; nothing can be limited by it any more"
        unified = self.placement.unified
        if number == errno.ENOENT and unified and not self.placement.find(setting.controller):
            names = read_optional(self.kernel, self.directory(unified), "cgroup.controllers")
            if setting.controller and setting.controller not in names.split():
                return explain_missing(setting.controller, self.withheld)
        return explain_write(setting.file, setting.value, number)

    def apply_devices(self, rules: list[ResourcesDeviceConfig]) -> None:
        """Make device access what ``rules`` say (linux.resources.devices), with the defaults of
        ``devices``; an earlier list of ours is replaced. Raises ``StepError``.
        """
        raise NotImplementedError

    # freezer

    def freeze(self) -> bool:
        """Stop every process of the cgroup and below; False where there is no freezer.

        Raises ``StepError`` when it takes longer than ``freezer.FREEZE_SECONDS``; the cgroup may
        then freeze later.
        """
        freezers = self.freezers()
        if freezers:
            freezers[0].freeze()
        return bool(freezers)

    def thaw(self, *, deep: bool = False) -> None:
        """Let a frozen cgroup go on; no effect on one that is not frozen or is gone.

        With ``deep`` also those below that were frozen from the inside, as far as SIGKILL needs it.
        """
        for freezer in self.freezers():
            freezer.thaw(deep=deep)

    def frozen(self) -> bool:
        """True when the cgroup or one above it is frozen or about to be; False when it is gone."""
        return is_frozen(self.kernel, self.placement.paths)

    def freezers(self) -> list[Freezer]:
        """Those of the cgroup, the first of which freezes it; none of a cgroup that is gone."""
        raise NotImplementedError

    # removal

    def remove(self, deadline: float = 5.0, *, kill: bool = False) -> None:
        """Remove the directories that ``create`` made, with every cgroup made below them since,
        deepest first.

        It is tried again for ``deadline`` seconds while processes are on their way out; with
        ``kill`` whatever is inside is killed first. A directory above the container's own stays
        when others use it. Every hierarchy is tried, then the first ``StepError`` is raised (EBUSY
        when the time is over).
        """
        from ociruntime.cgroups.removal import remove

        remove(self, deadline, kill=kill)

"""The container's control group as a thing one can create, join, limit, freeze, kill and remove.

``cgroups.open_group`` gives the class for the host's mode: ``v1.GroupV1`` (also hybrid, and no
cgroups at all) or
``v2.GroupV2``. Both work on directory fds whose file system was checked, so that what happens to
the paths later does not matter.
"""

from __future__ import annotations

import errno
from time import monotonic

from ociruntime.cgroups import tree
from ociruntime.cgroups.explain import explain_create, explain_write
from ociruntime.cgroups.files import write_file
from ociruntime.cgroups.join import join_error
from ociruntime.cgroups.path import UNKNOWN
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place, Placement
    from ociruntime.cgroups.setting import Setting
    from ociruntime.kernel.kernel import Kernel

# How long a cgroup may take to freeze, and how often a killed one is looked at for late forks
# (seconds).
FREEZE_SECONDS = 10.0
KILL_AGAIN_SECONDS = 0.25
# How often a parent may vanish under our hands.
RACES = 16


class Group:
    """What both versions have in common.

    Errors of the kernel come as ``StepError`` that names directory or file, value and cure.
    """

    def __init__(self, kernel: Kernel, placement: Placement) -> None:
        self.kernel = kernel
        self.placement = placement
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
        """Make the missing directories, level by level.

        Refused, as by runc, when the cgroup or one below it has processes, and when it is frozen;
        it may have children.
        """
        self.survey()
        for place in self.placement.places:
            self._make(place)
        self._refuse_occupied()

    def directory(self, place: Place) -> int:
        """The fd of the cgroup; raises ``OSError`` when it does not exist."""
        fd = self._fds.get(place.key)
        if fd is None:
            fd = self.kernel.open(place.directory, tree.DIRECTORY)
            self._fds[place.key] = fd
            self._check_filesystem(place, fd)
        return fd

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
                if level >= place.existing:
                    try:
                        kernel.mkdirat(here, name, 0o755)
                    except FileExistsError:
                        pass  # another container with the same parent was faster
                child = kernel.openat(here, name, tree.DIRECTORY)
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
            kind = "cgroup" if place.key else "cgroup2"
            detail = f"{place.mountpoint} is not a {kind} file system; mount the hierarchy there"
            raise StepError(f"cgroup {place.directory}", 0, detail)

    def _refuse_occupied(self) -> None:
        for place in self.placement.places:
            if place.existing == len(place.parts):
                found = len(tree.processes(self.kernel, self.directory(place), deep=True))
                if found:
                    detail = (
                        f"it is not empty, {found} process(es) are in it or below it; stop them "
                        "or choose another linux.cgroupsPath"
                    )
                    raise StepError(f"cgroup {place.directory}", 0, detail)
        if self.frozen():
            place = self._process_place() or self.placement.places[0]
            detail = "it is frozen; thaw it, or choose another linux.cgroupsPath"
            raise StepError(f"cgroup {place.directory}", 0, detail)

    # processes

    def open_for_clone(self) -> int:
        """An fd for CLONE_INTO_CGROUP, owned by the group; -1 without a unified hierarchy."""
        return -1

    def open_to_join(self) -> dict[str, int]:
        """By hierarchy, fds through which a clone joins what ``open_for_clone`` does not cover
        (``join_self``).
        """
        return {}

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

    def procs(self) -> list[int]:
        """The processes of the container's cgroup itself, as pids of the caller's PID namespace."""
        return self._listed(deep=False)

    def all_procs(self) -> list[int]:
        """The processes of the cgroup and of all below it; [] when it is gone."""
        return self._listed(deep=True)

    def _listed(self, *, deep: bool) -> list[int]:
        place = self._process_place()
        if place is None:
            return []
        try:
            return tree.processes(self.kernel, self.directory(place), deep=deep)
        except OSError as error:
            if error.errno in tree.GONE:
                return []
            raise

    def _process_place(self) -> Place | None:
        """The place whose list of processes is asked."""
        return self.placement.places[0] if self.placement.places else None

    def signal_all(self, number: int) -> int:
        """Send signal ``number`` to every process of the cgroup and below; returns how many there
        were.

        The cgroup is frozen meanwhile, where that is possible, so that no fork escapes. One that
        was frozen before stays frozen and gets the signal when it is thawed; only SIGKILL thaws it.
        """
        if not self.all_procs():
            return 0
        was_frozen = self.frozen()
        try:
            froze = was_frozen or self.freeze()
        except (OSError, StepError):
            froze = True  # a stuck freezer must not protect anybody, and it has to be undone
        seen: set[int] = set()
        try:
            while fresh := [pid for pid in self.all_procs() if pid not in seen]:
                seen.update(fresh)
                self._signal(fresh, number)
        finally:
            if froze and (not was_frozen or number == c.SIGKILL):
                self.thaw()
        return len(seen)

    def _signal(self, pids: list[int], number: int) -> None:
        """Signal by pidfd, and only those that are members still once their pidfd is open: pids are
        reused.
        """
        kernel = self.kernel
        pidfds: dict[int, int] = {}
        try:
            for pid in pids:
                try:
                    pidfds[pid] = kernel.pidfd_open(pid)
                except ProcessLookupError:
                    continue
            for pid in self.all_procs():
                if pid in pidfds:
                    try:
                        kernel.pidfd_send_signal(pidfds[pid], number)
                    except ProcessLookupError:
                        continue
        finally:
            for pidfd in pidfds.values():
                kernel.close(pidfd)

    # limits

    def apply(self, settings: list[Setting]) -> None:
        """Write resource settings in their order; the first refusal is a ``StepError``."""
        for setting in settings:
            self.write(setting)

    def write(self, setting: Setting) -> None:
        """Write one setting."""
        try:
            directory = self._limits_directory(setting.controller)
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

    def _limits_directory(self, controller: str) -> int:
        """The directory that has the controller's files."""
        raise NotImplementedError

    def _explain(self, setting: Setting, number: int) -> str:
        """What the refusal of a setting means and what to do about it."""
        return explain_write(setting.file, setting.value, number)

    def apply_devices(self, rules: list[dict[str, object]]) -> None:
        """Make device access what ``rules`` say (linux.resources.devices), with the defaults of
        ``devices``.
        """
        raise NotImplementedError

    # freezer

    def freeze(self) -> bool:
        """Stop every process of the cgroup and below; False where there is no freezer.

        Raises ``StepError`` when it takes longer than ``FREEZE_SECONDS``; the cgroup may then
        freeze later.
        """
        raise NotImplementedError

    def thaw(self) -> None:
        """Let a frozen cgroup go on; no effect on one that is not frozen or is gone."""
        raise NotImplementedError

    def frozen(self) -> bool:
        """True when the cgroup or one above it is frozen or about to be; False when it is gone."""
        raise NotImplementedError

    # removal

    def remove(self, deadline: float = 5.0, *, kill: bool = False) -> None:
        """Remove the directories that ``create`` made, with every cgroup made below them since,
        deepest first.

        It is tried again for ``deadline`` seconds while processes are on their way out; with
        ``kill`` whatever is inside is killed first. A directory above the container's own stays
        when others use it. Raises ``StepError`` (EBUSY) when the time is over.
        """
        end = monotonic() + deadline
        if kill:
            self._kill_ours()
        self.close()
        for place in reversed(self.placement.places):
            while not self._remove(
                place, min(end, monotonic() + KILL_AGAIN_SECONDS) if kill else end
            ):
                if monotonic() >= end:
                    how = "they survive SIGKILL" if kill else "kill them first"
                    detail = f"processes are in it still after {deadline:g} s; {how}"
                    raise StepError(f"cgroup {place.directory}", errno.EBUSY, detail)
                self._kill_ours()

    def _kill_ours(self) -> None:
        """SIGKILL to everything inside, unless the cgroup is not known to be ours."""
        place = self._process_place()
        if place is not None and UNKNOWN < place.existing < len(place.parts):
            self.signal_all(c.SIGKILL)

    def _remove(self, place: Place, end: float) -> bool:
        """Remove what is ours of one hierarchy; False when the container's own cgroup is busy
        still.
        """
        own = len(place.parts)
        # Without a survey it is not known who made the levels above: they stay.
        first = own - 1 if place.existing == UNKNOWN else place.existing
        for count in range(own, first, -1):
            path = "/".join([place.mountpoint, *place.parts[: count - 1]])
            name = place.parts[count - 1]
            try:
                parent = self.kernel.open(path, tree.DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                if count == own:
                    if not tree.remove_tree(self.kernel, parent, name, end):
                        return False
                else:
                    self.kernel.unlinkat(parent, name, c.AT_REMOVEDIR)
            except FileNotFoundError:
                continue
            except OSError as error:
                if count < own and error.errno in tree.BUSY:
                    break  # another container is below the same parent
                raise StepError(f"cgroup {path}/{name}", error.errno or 0) from None
            finally:
                self.kernel.close(parent)
        return True

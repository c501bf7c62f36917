"""Signalling every process of a container's cgroup and of those below it, so that no fork escapes.

Source: Documentation/admin-guide/cgroup-v2.rst, "cgroup.kill".
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.files import write_file
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from ociruntime.kernel.kernel import Kernel

# How many processes are signalled at once; fewer where the limit of open files is lower.
BATCH = 512
NO_ROOM = (errno.EMFILE, errno.ENFILE)
# Files that stay free for the walk through the cgroups.
SPARE = 4


def signal_all(group: Group, number: int) -> int:
    """Send signal ``number`` to every process of the cgroup and below; returns how many there were.

    No fork escapes. SIGKILL is one write to cgroup.kill where there is a unified hierarchy, and
    thaws what is frozen. For other signals the cgroup is frozen meanwhile, where that is possible;
    one that was frozen before stays so, and gets the signal when it is thawed.
    """
    found = group.all_procs()
    if not found:
        return 0
    if number == c.SIGKILL and _kill(group):
        if len(group.placement.places) > 1:
            # On v1 a frozen process dies when it thaws, whoever froze it: the container can, below.
            group.thaw(deep=True)
            _signal(group, found, number)
        return len(found)
    was_frozen = group.frozen()
    try:
        froze = was_frozen or group.freeze()
    except (OSError, StepError):
        froze = True  # a stuck freezer must not protect anybody, and it has to be undone
    seen: set[int] = set()
    try:
        while fresh := [pid for pid in group.all_procs() if pid not in seen]:
            seen.update(fresh)
            _signal(group, fresh, number)
    finally:
        if froze and (not was_frozen or number == c.SIGKILL):
            group.thaw(deep=number == c.SIGKILL)
    return len(seen)


def _kill(group: Group) -> bool:
    """SIGKILL by the unified hierarchy; False where there is none, or where it does not work."""
    place = group.placement.unified
    if place is None:
        return False
    try:
        write_file(group.kernel, group.directory(place), "cgroup.kill", "1")
    except OSError:
        return False  # a threaded cgroup has no cgroup.kill, and one that is gone needs none
    return True


def _signal(group: Group, pids: list[int], number: int) -> None:
    """Signal by pidfd, and only those that are members still once their pidfd is open: pids are
    reused.

    In batches: there may be more processes than we may have files open.
    """
    waiting = list(reversed(pids))
    while waiting:
        pidfds: dict[int, int] = {}
        try:
            _open_some(group.kernel, waiting, pidfds)
            members = _members_now(group, waiting, pidfds) if pidfds else set()
            for pid, pidfd in pidfds.items():
                if pid in members:
                    try:
                        group.kernel.pidfd_send_signal(pidfd, number)
                    except ProcessLookupError:
                        continue
        finally:
            for pidfd in pidfds.values():
                group.kernel.close(pidfd)


def _members_now(group: Group, waiting: list[int], pidfds: dict[int, int]) -> set[int]:
    """The cgroup's processes; where the last pidfd was the last file that we may have open, half of
    them go back to ``waiting``.
    """
    while True:
        try:
            return set(group.all_procs())
        except OSError as error:
            if error.errno not in NO_ROOM or len(pidfds) < 2:
                raise
        for _ in range(len(pidfds) // 2):
            _give_back(group.kernel, waiting, pidfds)


def _give_back(kernel: Kernel, waiting: list[int], pidfds: dict[int, int]) -> None:
    pid, pidfd = pidfds.popitem()
    kernel.close(pidfd)
    waiting.append(pid)


def _open_some(kernel: Kernel, waiting: list[int], pidfds: dict[int, int]) -> None:
    """Take pids from the end of ``waiting``, as many as may be open at once."""
    while waiting and len(pidfds) < BATCH:
        if waiting[-1] in pidfds:
            waiting.pop()  # it moved while the cgroups were walked
            continue
        try:
            pidfds[waiting[-1]] = kernel.pidfd_open(waiting[-1])
        except ProcessLookupError:
            pass
        except OSError as error:
            if error.errno not in NO_ROOM or len(pidfds) <= SPARE:
                raise
            # What lists the members needs some, too.
            for _ in range(SPARE):
                _give_back(kernel, waiting, pidfds)
            return
        waiting.pop()

"""Signalling every process of a container's cgroup and of those below it, so that no fork escapes.

Source: Documentation/admin-guide/cgroup-v2.rst, "cgroup.kill".
"""

from __future__ import annotations

from ociruntime.cgroups.files import write_file
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group


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
    """
    kernel = group.kernel
    pidfds: dict[int, int] = {}
    try:
        for pid in pids:
            try:
                pidfds[pid] = kernel.pidfd_open(pid)
            except ProcessLookupError:
                continue
        for pid in group.all_procs():
            if pid in pidfds:
                try:
                    kernel.pidfd_send_signal(pidfds[pid], number)
                except ProcessLookupError:
                    continue
    finally:
        for pidfd in pidfds.values():
            kernel.close(pidfd)

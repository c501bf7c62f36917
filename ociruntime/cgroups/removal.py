"""Removing a container's cgroups: what ``create`` made and what was made below it since."""

from __future__ import annotations

import errno
from time import monotonic

from ociruntime.cgroups import tree
from ociruntime.cgroups.explain import explain_mounted, explain_remove
from ociruntime.cgroups.files import read_path
from ociruntime.cgroups.path import UNKNOWN
from ociruntime.cgroups.signals import signal_all
from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.mountinfo import mount_points

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from ociruntime.cgroups.path import Place
    from ociruntime.kernel.kernel import Kernel

# How often a killed cgroup is looked at for late forks (seconds).
KILL_AGAIN_SECONDS = 0.25


def remove(group: Group, deadline: float, *, kill: bool) -> None:
    """What ``Group.remove`` promises.

    A hierarchy that cannot be cleaned does not keep the others from it; the first ``StepError``
    is raised when all are done.
    """
    end = monotonic() + deadline
    failed: StepError | None = None
    if kill:
        failed = kill_ours(group)
    group.close()
    for place in reversed(group.placement.places):
        try:
            _remove_busy(group, place, end, deadline, kill=kill)
        except StepError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _remove_busy(group: Group, place: Place, end: float, deadline: float, *, kill: bool) -> None:
    while not _remove(group, place, end, kill=kill):
        if monotonic() >= end:
            detail = _why_busy(group.kernel, place, deadline, kill=kill)
            raise StepError(f"cgroup {place.directory}", errno.EBUSY, detail)
        kill_ours(group)


def _why_busy(kernel: Kernel, place: Place, deadline: float, *, kill: bool) -> str:
    top = place.directory
    for point in mount_points(read_path(kernel, "/proc/self/mountinfo")):
        if point == top or point.startswith(top + "/"):
            return explain_mounted(point)
    how = "they survive SIGKILL" if kill else "kill them first"
    return f"processes are in it still after {deadline:g} s; {how}"


def kill_ours(group: Group) -> StepError | None:
    """SIGKILL to everything inside, unless the cgroup is not known to be ours; what was refused.

    Nothing of it keeps us from removing what can be removed.
    """
    place = group.process_place()
    if place is None or not UNKNOWN < place.existing < len(place.parts):
        return None
    try:
        signal_all(group, c.SIGKILL)
    except StepError as error:
        return error
    except NotADirectoryError:
        return None  # a file is in its place: there never was a cgroup
    except OSError as error:
        number = error.errno or 0
        return StepError(f"cgroup {place.directory}: killing what is in it", number)
    return None


def _remove(group: Group, place: Place, end: float, *, kill: bool) -> bool:
    """Remove what is ours of one hierarchy; False when the container's own cgroup is busy still."""
    kernel = group.kernel
    own = len(place.parts)
    # Without a survey it is not known who made the levels above: they stay.
    first = own - 1 if place.existing == UNKNOWN else place.existing
    for count in range(own, first, -1):
        path = "/".join([place.mountpoint, *place.parts[: count - 1]])
        name = place.parts[count - 1]
        parent = -1
        try:
            if tree.removed(kernel, c.AT_FDCWD, f"{path}/{name}"):
                continue
            if count < own:
                break  # another container is below the same parent
            until = min(end, monotonic() + KILL_AGAIN_SECONDS) if kill else end
            parent = kernel.open(path, tree.DIRECTORY)
            if not tree.remove_tree(kernel, parent, name, until):
                return False
        except (FileNotFoundError, NotADirectoryError):
            continue  # a file is none of ours: `create` was refused because of it
        except OSError as error:
            raise _refused(f"{path}/{name}", error) from None
        finally:
            if parent >= 0:
                kernel.close(parent)
    return True


def _refused(path: str, error: OSError) -> StepError:
    number = error.errno or 0
    return StepError(f"cgroup {path} (remove)", number, explain_remove(number))

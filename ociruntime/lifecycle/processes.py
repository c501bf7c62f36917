"""The processes of a container, as its caller sees them."""

from __future__ import annotations

from ociruntime.errors import NOT_RUNNING, OciError, WrongStatus
from ociruntime.lifecycle.kill import saved_group
from ociruntime.lifecycle.members import namespace_members
from ociruntime.state.status import CREATING, STOPPED, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from ociruntime.state.store import Container


def processes(container: Container) -> list[int]:
    """The pids in the container's cgroup and below it, sorted; without a cgroup of its own, those
    in its PID namespace.

    A stopped container may have none. Raises ``WrongStatus`` when it is being created,
    ``OciError`` when it has neither.
    """
    group = saved_group(container)
    try:
        return _processes(container, group)
    finally:
        if group is not None:
            group.close()


def _processes(container: Container, group: Group | None) -> list[int]:
    word = status(container)
    if group is None and container.data.get("shared_pid"):
        raise OciError(
            f"container {container.id} has no cgroup and no PID namespace of its own, so its "
            "processes cannot be told from others; create it with one of them"
        )
    if group is not None:
        pids = sorted(group.all_procs())
        if container.data["pid"] not in pids and word not in (CREATING, STOPPED):
            pids = _with_first(container, group, pids)
    elif word in (CREATING, STOPPED):
        pids = []
    else:
        pids = namespace_members(container.data["pid"])
    if not pids and word == CREATING:
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")
    return pids


def _with_first(container: Container, group: Group, pids: list[int]) -> list[int]:
    """``pids`` and the first process with its PID namespace, which somebody has moved out of the
    cgroup.
    """
    if not container.data.get("shared_pid"):
        return sorted({*pids, *namespace_members(container.data["pid"])})
    gone = group.missing()
    if gone is not None:
        raise OciError(
            f"container {container.id}: its cgroup {gone.directory} was removed, and it has no PID "
            "namespace of its own, so its processes cannot be told from others"
        )
    return sorted({*pids, container.data["pid"]})

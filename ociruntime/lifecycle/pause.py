"""pause and resume: freezing a container and letting it go on (runc's and crun's extension of the
specification).
"""

from __future__ import annotations

from ociruntime.errors import NOT_RUNNING, StateError, StepError, WrongStatus
from ociruntime.lifecycle.kill import saved_group
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from ociruntime.state.store import Container

NOT_PAUSED = "container not paused"


def pause(container: Container) -> None:
    """Freeze every process of a created or running container (locked).

    A container that does not freeze in time goes on as before. Raises ``WrongStatus`` without
    effect, ``StateError`` where there is no freezer, ``StepError``.
    """
    word = st.status(container)
    if word not in (st.CREATED, st.RUNNING):
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")
    group = frozen_group(container)
    try:
        froze = group.freeze()
    except StepError as error:
        try:
            group.thaw()
        except StepError:
            raise error from None  # where nothing can be written, nothing was
        raise
    if not froze:
        gone = group.missing()
        if gone is not None:
            why = f"its cgroup {gone.directory} was removed"
            raise StateError(f"container {container.id} cannot be paused: {why}")
        raise no_freezer(container)


def resume(container: Container) -> None:
    """Let a paused container (locked) go on. Raises ``WrongStatus``, ``StepError``."""
    word = st.status(container)
    if word != st.PAUSED:
        raise WrongStatus(f"{NOT_PAUSED}: {container.id} is {word}")
    group = frozen_group(container)
    group.thaw()
    if group.frozen():
        raise StateError(
            f"container {container.id} stays paused: a cgroup above its own is frozen; thaw it"
        )


def frozen_group(container: Container) -> Group:
    """The container's cgroup; raises ``StateError`` when it has none of its own."""
    group = saved_group(container)
    if group is None:
        raise no_freezer(container)
    return group


def no_freezer(container: Container) -> StateError:
    """The error for a container that cannot be frozen."""
    return StateError(
        f"container {container.id} cannot be paused: it has no cgroup of its own with a freezer; "
        "create it with a cgroup that the caller may write"
    )

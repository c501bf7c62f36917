"""update: other limits for a living container (runc's and crun's extension of the
specification).
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import NOT_RUNNING, OciError, StateError, WrongStatus
from ociruntime.lifecycle.kill import saved_group
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import ResourcesConfig
    from ociruntime.state.store import Container


def update(container: Container, resources: ResourcesConfig, schemas: list[str]) -> list[str]:
    """Change the limits of a container (locked) that has not stopped; returns warnings.

    Parameters: ``resources`` are as linux.resources, 0 and absent mean "as it is"; ``schemas`` are
    lines for the container's resctrl class. Raises ``WrongStatus`` without effect, and
    ``OciError`` for what is refused: then everything is as before.
    """
    word = st.status(container)
    if word in (st.STOPPED, st.CREATING):
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")
    warnings: list[str] = []
    group = saved_group(container)
    if group is None:
        if any(resources.values()):
            raise StateError(
                f"container {container.id} has no cgroup of its own that could be limited; "
                "create it with a cgroup that the caller may write"
            )
    elif os.geteuid() != 0 and resources.get("devices"):
        resources = {**resources, "devices": []}
        warnings.append("devices: only root of the host can limit them, left as they are")
    before = _change_schemata(container, schemas) if schemas else []
    if group is not None:
        from ociruntime.cgroups.resources import asked_of_update
        from ociruntime.cgroups.update import update as change_limits

        try:
            change_limits(group, asked_of_update(resources), warnings)
        except OciError:
            if before:
                _change_schemata(container, before)
            raise
    return warnings


def _change_schemata(container: Container, lines: list[str]) -> list[str]:
    """Write schemas of the container's resctrl class; returns those before."""
    from ociruntime.steps.rdt import change_schemata

    saved = container.data.get("rdt")
    if not saved:
        raise StateError(
            f"container {container.id} has no resctrl class; create it with linux.intelRdt"
        )
    return change_schemata(saved["class"], lines)

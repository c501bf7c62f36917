"""delete --force of a container whose state.json is damaged: from what else is known of it."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import parse_object
from ociruntime.errors import OciError
from ociruntime.state.store import STATE, TEMPORARY, DamagedStateError, is_sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.stored import StoredPlacement
    from ociruntime.state.store import Container, Store
    from ociruntime.state.stored import StoredState

LEFT = (
    "nothing tells any more what container {id} consisted of: its state.json is damaged, and the "
    "copy of it, too; {known}look for processes, cgroups and network devices of its own"
)


def salvage(store: Store, container_id: str) -> tuple[Container, list[str]]:
    """A container whose state.json is damaged, locked, with all that ``destroy`` can know of it,
    and warnings, which say what may be left.

    The version of state.json before its last change has all that its last one had, but for the
    status. Where that is damaged too, what can be proven is used: a process by its start time, a
    cgroup by the configuration that was stored with it. Raises ``OciError``.
    """
    container = store.open_damaged(container_id)
    try:
        container.load(TEMPORARY)
    except DamagedStateError:
        container.data = {}
    if container.data:
        return container, []
    try:
        container.data = _proven(container)
        return container, [_told(container)]
    except BaseException:
        container.close()
        raise


def _told(container: Container) -> str:
    """What was done, and what has to be looked for."""
    data = container.data
    known = [f"process {data['pid']}"] if data.get("pid") else []
    cgroup = data.get("cgroup")
    if cgroup:
        known += dict.fromkeys(f"cgroup {path}" for path in cgroup["paths"].values())
    told = f"{', '.join(known)} went with it; " if known else ""
    return LEFT.format(id=container.id, known=told)


def _proven(container: Container) -> StoredState:
    """What of the damaged state can be believed, as ``destroy`` reads it."""
    found = _damaged(container)
    data: StoredState = {}
    pid, started = found.get("pid"), found.get("start_time")
    if type(pid) is int and type(started) is int and pid > 0 and started > 0:
        # Only a process with exactly this number and start is going to be killed.
        data["pid"], data["start_time"] = pid, started
    cgroup = _cgroup(container)
    if cgroup is not None:
        data["cgroup"] = cgroup
    return data


def _damaged(container: Container) -> dict[str, Any]:
    """The first of both files that can be read at all, and is not another container's."""
    for name in (STATE, TEMPORARY):
        try:
            raw = container.read(name)
            if not any(is_sealed(other, raw) for other in container.store.ids()):
                return parse_object(raw, name)
        except (OSError, OciError):
            continue
    return {}


def _cgroup(container: Container) -> StoredPlacement | None:
    """The cgroup as ``create`` places it, where it exists and has the container's id in its name.

    Another one may have been there before the container, with others below it, whom nobody wants
    to be killed: who made it is not known any more.
    """
    from ociruntime.cgroups.detect import detect
    from ociruntime.cgroups.path import place
    from ociruntime.kernel.kernel import Kernel

    try:
        linux: Any = container.config().get("linux")
        path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
        if not isinstance(path, (str, type(None))) or ":" in (path or ""):
            return None  # a unit of systemd's
        placement = place(detect(Kernel()), path, container.id)
    except (OSError, OciError):
        return None
    placement.places[:] = [
        each
        for each in placement.places
        if container.id in each.parts[-1] and os.path.isdir(each.directory)
    ]
    for each in placement.places:
        # Who made the levels above is not known any more: they stay.
        each.existing = len(each.parts) - 1
    return placement.as_dict() if placement.places else None

"""The plan of ``mounts add``: the steps of `create`, for a container that runs."""

from __future__ import annotations

from ociruntime.errors import OciError, PlanError
from ociruntime.kernel import constants as c
from ociruntime.plan.mounts import CGROUP_TYPES, mount_steps
from ociruntime.plan.namespaces import NamespacePlan
from ociruntime.process.step import HOST
from ociruntime.steps.prepare import OpenRootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.plan.host import Host
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config
    from ociruntime.state.store import Container

# What belongs to namespaces that only the container's own processes are in.
NOT_LATER = ("proc", *CGROUP_TYPES)


def build(
    container: Container, config: Config, host: Host, warnings: list[str]
) -> tuple[list[Step], list[Step]]:
    """(steps on the host's side, steps in the container) that mount ``config``'s mounts, and none
    but those: it is the container's config with others in the place of its own. What is left out
    is told in ``warnings``. Raises ``PlanError`` or ``OciError``.
    """
    for index, entry in enumerate(config["mounts"]):
        kind = entry.get("type")
        if kind in NOT_LATER:
            raise PlanError(
                f"mounts[{index}] {entry['destination']}: a {kind} filesystem cannot be added to a "
                "running container",
                f"/mounts/{index}/type",
                "have it in config.json, or bind one",
            )
    spaces = NamespacePlan(config.get("linux") or {}, host)
    if not spaces.has("mount"):
        raise OciError(
            f"mounts: container {container.id} has no mount namespace of its own; "
            'create it with {"type": "mount"} in linux.namespaces'
        )
    data = container.data
    opens, mounts, late = mount_steps(
        config, spaces, host, data["bundle"], data["rootfs"], warnings
    )
    # Sources are told from what lies in the root filesystem by that.
    early: list[Step] = [OpenRootfs(data["rootfs"], c.MS_SLAVE, HOST)]
    early += [step for step in opens if step.side == HOST]
    return early, [step for step in opens if step.side != HOST] + mounts + late

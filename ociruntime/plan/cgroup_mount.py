"""Plan: mounts of type ``cgroup`` and ``cgroup2``, and what has to be open for them."""

from __future__ import annotations

from ociruntime.cgroups.detect import V2
from ociruntime.errors import PlanError
from ociruntime.steps.cgroup_mount import MountCgroup, OpenCgroupSource

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.detect import Hierarchy, Layout
    from ociruntime.plan.namespaces import NamespacePlan
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config
    from ociruntime.spec.mount_options import MountOptions


TYPES = ("cgroup", "cgroup2")


def plan_cgroup_mount(
    pointer: str,
    label: str,
    destination: str,
    options: MountOptions,
    layout: Layout,
    *,
    in_namespace: bool,
    filesystem: str = "cgroup",
    label_option: str = "",
) -> MountCgroup:
    """Plan one mount; ``plan_sources`` has the steps that open what it needs.

    Parameters: ``filesystem`` is ``cgroup``, which means what the host has, or ``cgroup2``;
    ``in_namespace`` whether the container is in another cgroup namespace than the runtime;
    ``label_option`` as ``MountCgroup`` has it. Raises ``PlanError`` for cgroup2 on a host without
    it.
    """
    shown, single = _shown(layout, filesystem)
    if filesystem == "cgroup2" and not shown:
        raise PlanError(
            f"{label}: this host has no cgroup v2 (cgroups: {layout.mode})",
            f"{pointer}/type",
            'use type "cgroup"',
        )
    return MountCgroup(
        pointer,
        label,
        destination,
        options,
        shown,
        single=single,
        namespace=in_namespace,
        label_option=label_option,
    )


def _shown(layout: Layout, filesystem: str) -> tuple[list[Hierarchy], bool]:
    """The hierarchies of a mount, and whether it is that of the only one."""
    if layout.mode == V2 or filesystem == "cgroup2":
        return [item for item in layout.hierarchies if not item.key], True
    return [item for item in layout.hierarchies if item.key], False


def plan_sources(
    config: Config, layout: Layout, namespaces: NamespacePlan, *, privileged: bool, side: str
) -> list[Step]:
    """The copies that the cgroup mounts of a config need, taken on ``side``.

    To be executed behind ``CreateCgroup``, which makes the directories, and before the clone; with
    the side ``CONTAINER`` before anything of the container is attached.
    """
    if namespaces.is_new("cgroup"):
        return []
    # A cgroup namespace, the host's or one that is joined, is not the new user namespace's.
    foreign = namespaces.has("user") or not privileged
    steps: list[Step] = []
    for index, entry in enumerate(config.get("mounts") or ()):
        if entry.get("type") not in TYPES:
            continue
        shown, _ = _shown(layout, entry["type"])
        joined = namespaces.has("cgroup")
        copied = [item for item in shown if foreign or (item.key and not joined)]
        label = f"mounts[{index}] {entry['destination']}"
        if copied:
            steps.append(
                OpenCgroupSource(f"/mounts/{index}", label, copied, whole=not joined, side=side)
            )
    return steps

"""Plan: the container's cgroup, its limits, and whose it is.

Devices, CPU sets and real-time budgets are set before hooks and rootfs work; all other limits at
the very end, when only the tiny waiting init is inside, so that 512 KiB of memory or one process
are limits one can live with.
"""

from __future__ import annotations

from ociruntime.cgroups.detect import DISABLED, V2
from ociruntime.cgroups.devices import POINTER as DEVICES
from ociruntime.cgroups.devices import rules_of
from ociruntime.cgroups.resources import in_words_of, settings_for
from ociruntime.cgroups.setting import EARLY, dotted
from ociruntime.cgroups.v1.devices import denies_all, target
from ociruntime.errors import PlanError
from ociruntime.spec.idmaps import host_id
from ociruntime.steps.cgroup import (
    ApplyDevices,
    ApplyEarlyLimits,
    ApplyLimits,
    CreateCgroup,
    JoinCgroup,
)

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.detect import Layout
    from ociruntime.cgroups.path import Placement
    from ociruntime.plan.host import Host
    from ociruntime.plan.namespaces import NamespacePlan
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config, MountConfig, ResourcesDeviceConfig
    from ociruntime.steps.delegation import DelegateCgroup

    Entry = ResourcesDeviceConfig

DELEGATED = "/sys/fs/cgroup"


def cgroup_steps(
    config: Config, placement: Placement, layout: Layout, *, rootless: bool, warnings: list[str]
) -> dict[str, list[Step]]:
    """Plan the container's cgroup: lists of steps to put, in this order, at these places

    ``prepare``  on the host side, before init is cloned
    ``devices``  on the host side, behind the mounts (a filesystem's own device may be forbidden to
                 the container) and before the first hook
    ``attach``   the first thing init does, before it unshares a cgroup namespace
    ``finish``   on the host side, when only oci-init is left to be executed

    Pure. Parameters: ``rootless`` is true for a caller that may be refused cgroups; ``warnings``
    collects what is ignored on purpose. Raises ``PlanError`` for a resource that this host's
    cgroups cannot limit.
    """
    linux = config.get("linux") or {}
    resources = in_words_of(config["ociVersion"], linux.get("resources") or {})
    settings = settings_for(resources, layout, warnings)
    rules = list(resources.get("devices") or [])
    tolerant = rootless and not linux.get("cgroupsPath") and placement.unit is None
    tolerant = tolerant and not placement.delegated
    if tolerant:
        # Whom it is no matter where his container's cgroup is may have none, and so no limit.
        settings = [setting for setting in settings if not setting.is_no_limit]
        tolerant = not settings
    if layout.mode == DISABLED:
        if rules:
            warnings.append(f"{dotted(DEVICES)}: cgroups are disabled (--cgroup-manager), left out")
        rules = []
    check_devices(rules, layout)
    early = [setting for setting in settings if setting.phase == EARLY]
    late = [setting for setting in settings if setting.phase != EARLY]
    prepare: list[Step] = [CreateCgroup(placement, tolerant=tolerant)]
    # Without rules everything but the default devices is forbidden, as in runc.
    devices: list[Step] = []
    if not rootless and (rules or has_devices(layout)):
        devices.append(ApplyDevices(rules))
    if rootless and rules:
        warnings.append(f"{dotted(DEVICES)}: only root of the host can limit devices, left out")
    if early:
        prepare.append(ApplyEarlyLimits(early))
    return {
        "prepare": prepare,
        "devices": devices,
        "attach": joining_steps(placement),
        "finish": [ApplyLimits(late)] if late else [],
    }


def joining_steps(placement: Placement, *, user: bool = False) -> list[Step]:
    """What follows the clone of a process that belongs into the cgroup; ``user`` as ``OpenCgroup``
    has it.
    """
    steps: list[Step] = []
    if any(place.key or user for place in placement.places):
        steps.append(JoinCgroup(placement))
    if placement.unit is not None:
        from ociruntime.steps.unit import SettleUnit

        steps.append(SettleUnit(placement.unit))
    return steps


def has_devices(layout: Layout) -> bool:
    """Whether access to devices can be limited here: by a v1 controller, or by a program in the
    unified hierarchy.
    """
    return layout.unified is not None or layout.find("devices") is not None


def check_devices(rules: list[Entry], layout: Layout) -> None:
    """Refuse device rules that cannot be expressed here."""
    if not rules:
        return
    if not has_devices(layout):
        raise PlanError(
            f"linux.resources.devices: no cgroup controller devices on this host "
            f"(cgroups: {layout.mode})",
            DEVICES,
            "remove the list, or mount the controller",
        )
    if layout.mode != V2 and layout.find("devices") is not None and not denies_all(rules):
        target(rules_of(rules))


def cgroup_delegation(
    config: Config, namespaces: NamespacePlan, host: Host, layout: Layout, names: list[str]
) -> tuple[list[Step], list[Step]]:
    """The step behind the clone that makes the container the owner of its cgroup, for the configs
    that ask for it, on v2; and the one behind the new cgroup namespace that moves its processes
    into the cgroup ``names`` below. Pure.
    """
    given = _ownership(config, namespaces, host, layout)
    if not names:
        return [*given], []
    from ociruntime.steps.delegation import EnterDelegated

    return [*given], [EnterDelegated(names, given[0] if given else None)]


def _ownership(
    config: Config, namespaces: NamespacePlan, host: Host, layout: Layout
) -> list[DelegateCgroup]:
    if layout.mode != V2 or not namespaces.is_new("cgroup"):
        return []
    if not any(_is_writable(entry) for entry in config.get("mounts") or ()):
        return []
    inside = ((config.get("process") or {}).get("user") or {}).get("uid", 0)
    if namespaces.has("user"):
        # Of a namespace that is joined the mappings are not known here.
        uid = host_id(namespaces.uid_maps, inside)
    else:
        uid = inside
    if uid is None or (uid == 0 and host.privileged):
        return []
    # Imported for the configs that need it.
    from ociruntime.steps.delegation import DelegateCgroup

    return [DelegateCgroup(uid, tolerant=not host.privileged)]


def _is_writable(entry: MountConfig) -> bool:
    options = [option for option in entry.get("options") or () if option in ("ro", "rw")]
    return (
        entry.get("source") == "cgroup"
        and entry["destination"].rstrip("/") == DELEGATED
        and options[-1:] != ["ro"]
    )

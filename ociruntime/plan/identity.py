"""Who the container's process will be: ids, groups, capabilities (config.md#user,
config.md#linux-process).
"""

from __future__ import annotations

from ociruntime.errors import PlanError
from ociruntime.plan.attributes import label_of
from ociruntime.process.identity import DEFAULT_UMASK, Identity
from ociruntime.spec.tables import CAPABILITIES, CAPABILITY_SETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ociruntime.plan.host import Powers
    from ociruntime.spec.documents import ProcessConfig

# What podman writes for --group-add keep-groups; an annotation of crun's.
KEEP_GROUPS = "run.oci.keep_original_groups"


def keeps_groups(annotations: dict[str, str] | None) -> bool:
    """Whether the process keeps the caller's supplementary groups."""
    return (annotations or {}).get(KEEP_GROUPS) == "1"


def plan_identity(
    process: ProcessConfig,
    host: Powers,
    warnings: list[str],
    *,
    new_user: bool,
    may_setgroups: bool,
    keep_groups: bool = False,
) -> Identity:
    """The identity that ``process`` (config.json's) asks for, as far as the host can grant it.

    A capability that the host itself does not have is left out with a warning, an unknown one, too,
    of which ``spec.semantic`` has warned [MUST]. Nothing is ever added to a set (CVE-2022-29162).
    Parameters: ``new_user``: the process will be in a user namespace, where all capabilities exist;
    ``may_setgroups``: that namespace has not given up setgroups(2); ``keep_groups``: the caller's
    groups stay. Raises ``PlanError`` for groups that cannot be had, and for two security labels.
    """
    identity = Identity()
    user = process.get("user", {})
    identity.uid = user.get("uid", 0)
    identity.gid = user.get("gid", 0)
    identity.umask = user.get("umask", DEFAULT_UMASK)
    identity.groups = _groups(
        user.get("additionalGids") or [], warnings, may=may_setgroups, keep=keep_groups
    )
    identity.lsm = label_of(process)
    identity.no_new_privs = bool(process.get("noNewPrivileges"))
    identity.last_cap = host.last_cap
    everything = (1 << (host.last_cap + 1)) - 1
    grantable = everything if new_user else everything & host.capabilities
    wanted: Mapping[str, Any] = process.get("capabilities") or {}
    dropped: list[str] = []
    for name in CAPABILITY_SETS:
        mask = _mask(wanted.get(name, ()))
        if mask & ~grantable:
            dropped += [text for text in capability_names(mask & ~grantable) if text not in dropped]
        setattr(identity, name, mask & grantable)
    if dropped:
        warnings.append(
            f"process.capabilities: {', '.join(dropped)}: not available on this host, left out"
        )
    # capset(2): effective within permitted; prctl(2): ambient within permitted and inheritable.
    identity.effective &= identity.permitted
    identity.inheritable &= identity.bounding
    identity.ambient &= identity.permitted & identity.inheritable
    return identity


def _groups(wanted: list[int], warnings: list[str], *, may: bool, keep: bool) -> list[int] | None:
    if keep:
        if wanted:
            warnings.append(f"process.user.additionalGids: left out, as {KEEP_GROUPS} asks for")
        return None
    if may:
        return list(wanted)
    if wanted:
        raise PlanError(
            "process.user.additionalGids: the user namespace forbids setgroups(2)",
            "/process/user/additionalGids",
            "remove it, or map a range of gids that /etc/subgid grants, or run as root",
        )
    return None


def _mask(names: list[str]) -> int:
    """The mask of the known ones."""
    mask = 0
    for name in names:
        if name in CAPABILITIES:
            mask |= 1 << CAPABILITIES[name]
    return mask


def capability_names(mask: int) -> list[str]:
    """The names of the capabilities in ``mask``."""
    names = {number: name for name, number in CAPABILITIES.items()}
    return [names.get(n, f"capability {n}") for n in range(64) if mask >> n & 1]

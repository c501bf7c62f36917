"""``linux.resources`` as settings for this host: v1's files, v2's, or on a hybrid host some of
each.

Pure. What this host cannot limit is a ``PlanError``, never silence.
"""

from __future__ import annotations

from ociruntime.cgroups.detect import DISABLED, V2
from ociruntime.cgroups.setting import dotted
from ociruntime.cgroups.v1.resources import settings_v1
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.detect import Layout
    from ociruntime.cgroups.setting import Setting
    from ociruntime.spec.documents import ResourcesConfig



# From this version of the specification on, 0 of pids.limit is a limit like any other.
ZERO_PIDS = (1, 3)


def in_words_of(version: str, resources: ResourcesConfig) -> ResourcesConfig:
    """``resources`` as the newest version of the specification has them.

    Parameters: ``version`` is the config's ociVersion. Before 1.3.0 engines wrote a pids.limit of 0
    for "unlimited" (podman up to 5.4), and runc and crun took it so.
    """
    if (resources.get("pids") or {}).get("limit") != 0:
        return resources
    major, minor = version.split(".")[:2]
    if (int(major), int(minor)) >= ZERO_PIDS:
        return resources
    return {**resources, "pids": {**resources["pids"], "limit": -1}}


def asked_of_update(resources: ResourcesConfig) -> ResourcesConfig:
    """``resources`` of an update without a pids.limit of 0, which is "as it is" there like every
    other 0, whatever version the container's config has: so engines mean it (runc, crun).
    """
    if (resources.get("pids") or {}).get("limit") != 0:
        return resources
    return {**resources, "pids": {}}


def settings_for(resources: ResourcesConfig, layout: Layout, warnings: list[str]) -> list[Setting]:
    """``linux.resources`` for this host's version of cgroups, each of it possible as far as can be
    told now.

    ``warnings`` collects what is ignored on purpose.
    """
    unified = layout.unified
    if layout.mode == V2:
        from ociruntime.cgroups.v2.resources import settings_v2

        settings = settings_v2(resources, warnings)
    elif unified is not None and unified.controllers:
        from ociruntime.cgroups.hybrid import settings_mixed

        settings = settings_mixed(resources, unified.controllers, warnings)
    else:
        settings = settings_v1(resources, warnings)
    for setting in settings:
        if setting.controller and layout.find(setting.controller) is None and not setting.optional:
            if layout.mode == DISABLED:
                raise PlanError(
                    f"{dotted(setting.pointer)}: cgroups are disabled (--cgroup-manager)",
                    setting.pointer,
                    "remove the limit, or use cgroupfs or systemd",
                )
            raise PlanError(
                f"{dotted(setting.pointer)}: this host has no cgroup controller "
                f"{setting.controller} (cgroups: {layout.mode})",
                setting.pointer,
                "remove the limit, or mount or enable the controller",
            )
    return settings

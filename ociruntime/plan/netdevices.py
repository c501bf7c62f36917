"""Plan: which network devices of the host move into the container, and under which names."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.step import Step
    from ociruntime.spec.documents import LinuxConfig

# IFNAMSIZ without the terminating byte.
NAME_BYTES = 15


def net_device_steps(linux: LinuxConfig) -> list[Step]:
    """Host side, as soon as init exists: linux.netDevices.

    Raises ``PlanError`` for a name that does not fit the kernel's attribute: a longer one would be
    cut, or change what follows it (CVE-2021-43784).
    """
    wanted = linux.get("netDevices")
    if not wanted:
        return []
    devices = []
    for old, settings in wanted.items():
        new = (settings or {}).get("name") or old
        for name in (old, new):
            if len(os.fsencode(name)) > NAME_BYTES:
                pointer = "/linux/netDevices/" + old.replace("~", "~0").replace("/", "~1")
                raise PlanError(
                    f"linux.netDevices {name}: longer than {NAME_BYTES} bytes",
                    pointer,
                    "use a shorter name",
                )
        devices.append((old, new))
    # Imported for the configs that need it.
    from ociruntime.steps.netdevices import MoveNetDevices

    return [MoveNetDevices(devices)]

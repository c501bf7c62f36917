"""What this runtime can do (features.md, features-linux.md), from the tables that the validator and
the planner read.

The document speaks of the runtime, not of the host. A list that is empty says "none"; what is not
known is left out, and nothing here is unknown.
"""

from __future__ import annotations

from ociruntime import __version__
from ociruntime.spec.mount_options import known_options
from ociruntime.spec.tables import (
    CAPABILITIES,
    HOOKS,
    NAMESPACES,
    OCI_VERSION_MAX,
    OCI_VERSION_MIN,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Options that are understood and refused: idmapped mounts are not made.
REFUSED_OPTIONS = ("idmap", "ridmap")


def features() -> dict[str, Any]:
    """The document of schemas/features.json."""
    return {
        "ociVersionMin": OCI_VERSION_MIN,
        "ociVersionMax": OCI_VERSION_MAX,
        "hooks": list(HOOKS),
        "mountOptions": [name for name in known_options() if name not in REFUSED_OPTIONS],
        "linux": {
            "namespaces": list(NAMESPACES),
            "capabilities": list(CAPABILITIES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": False,
                "systemdUser": False,
                "rdma": True,
            },
            "seccomp": {
                "enabled": False,
                "actions": [],
                "operators": [],
                "archs": [],
                "knownFlags": [],
                "supportedFlags": [],
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False, "schemata": False, "monitoring": False},
            "memoryPolicy": {"modes": [], "flags": []},
            "mountExtensions": {"idmap": {"enabled": False}},
            "netDevices": {"enabled": False},
        },
        "annotations": {"org.ociruntime.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [],
    }

"""What this runtime can do (features.md, features-linux.md), from the tables that the validator and
the planner read.

The document speaks of the runtime, not of the host. A list that is empty says "none"; what is not
known is left out, and nothing here is unknown.
"""

from __future__ import annotations

from ociruntime import __version__
from ociruntime.plan.attributes import UNSUPPORTED
from ociruntime.spec.mount_options import known_options
from ociruntime.spec.tables import (
    CAPABILITIES,
    HOOKS,
    MEMORY_POLICY_FLAGS,
    MEMORY_POLICY_MODES,
    NAMESPACES,
    OCI_VERSION_MAX,
    OCI_VERSION_MIN,
    SECCOMP_ACTIONS,
    SECCOMP_ARCHITECTURES,
    SECCOMP_FLAGS,
    SECCOMP_OPERATORS,
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
                "enabled": _has("linux", "seccomp"),
                "actions": _names(SECCOMP_ACTIONS, "seccomp"),
                "operators": _names(SECCOMP_OPERATORS, "seccomp"),
                "archs": _names(SECCOMP_ARCHITECTURES, "seccomp"),
                "knownFlags": _names(SECCOMP_FLAGS, "seccomp"),
                "supportedFlags": _names(SECCOMP_FLAGS, "seccomp"),
            },
            "apparmor": {"enabled": _has("process", "apparmorProfile")},
            "selinux": {"enabled": _has("process", "selinuxLabel")},
            "intelRdt": {
                "enabled": _has("linux", "intelRdt"),
                "schemata": _has("linux", "intelRdt"),
                "monitoring": _has("linux", "intelRdt"),
            },
            "memoryPolicy": {
                "modes": _names(MEMORY_POLICY_MODES, "memoryPolicy"),
                "flags": _names(MEMORY_POLICY_FLAGS, "memoryPolicy"),
            },
            "mountExtensions": {"idmap": {"enabled": "idmap" not in REFUSED_OPTIONS}},
            "netDevices": {"enabled": _has("linux", "netDevices")},
        },
        "annotations": {"org.ociruntime.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [],
    }


def _has(section: str, name: str) -> bool:
    """Whether the planner knows what to do with a property."""
    return (section, name) not in UNSUPPORTED


def _names(table: dict[str, int], name: str) -> list[str]:
    """The words of a vocabulary, none when the property of linux that they are for is refused."""
    return list(table) if _has("linux", name) else []

"""What this runtime can do (features.md, features-linux.md), from the tables that the validator and
the planner read.

The document speaks of the runtime, not of the host, but for two things: the kernel decides which
flags of seccomp(2) there are, and libseccomp is the host's. A list that is empty says "none"; what
is not known is left out, and nothing here is unknown.
"""

from __future__ import annotations

from ociruntime import __version__
from ociruntime.errors import OciError
from ociruntime.kernel._sys import commit
from ociruntime.kernel.kernel import Kernel
from ociruntime.seccomp.profile import NEW_LISTENER, WAIT_KILLABLE_RECV
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
    from ociruntime.spec.documents import FeaturesDocument

# Annotations that change privileges, or make the runtime open files of the host: an engine must not
# let just anybody set them.
UNSAFE_ANNOTATIONS = (
    "org.criu.config",
    "org.systemd.property.",
    "run.oci.hooks.stderr",
    "run.oci.hooks.stdout",
    "run.oci.keep_original_groups",
    "run.oci.mount_context_type",
    "run.oci.pidfd_receiver",
    "run.oci.seccomp.receiver",
    "run.oci.seccomp_bpf_data",
)


def features() -> FeaturesDocument:
    """The document of schemas/features.json."""
    return {
        "ociVersionMin": OCI_VERSION_MIN,
        "ociVersionMax": OCI_VERSION_MAX,
        "hooks": list(HOOKS),
        "mountOptions": known_options(),
        "linux": {
            "namespaces": list(NAMESPACES),
            "capabilities": list(CAPABILITIES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": True,
                "systemdUser": True,
                "rdma": True,
            },
            "seccomp": {
                "enabled": True,
                "actions": list(SECCOMP_ACTIONS),
                "operators": list(SECCOMP_OPERATORS),
                "archs": list(SECCOMP_ARCHITECTURES),
                "knownFlags": list(SECCOMP_FLAGS),
                "supportedFlags": supported_flags(),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {
                "enabled": True,
                "schemata": True,
                "monitoring": True,
            },
            "memoryPolicy": {
                "modes": list(MEMORY_POLICY_MODES),
                "flags": list(MEMORY_POLICY_FLAGS),
            },
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": versions(),
        "potentiallyUnsafeConfigAnnotations": list(UNSAFE_ANNOTATIONS),
    }


def supported_flags() -> list[str]:
    """The flags of linux.seccomp.flags that this kernel takes.

    All but one are older than the oldest kernel that we run on (5.15).
    """
    flags = list(SECCOMP_FLAGS)
    if not Kernel().knows_seccomp_flags(NEW_LISTENER | WAIT_KILLABLE_RECV):
        flags.remove("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
    return flags


def versions() -> dict[str, str]:
    """Versions, under the keys of runc where it has one."""
    found = {
        "org.ociruntime.version": __version__,
        "org.ociruntime.commit": commit,
        # runc's key, which engines look for; CRIU itself is looked for when it is needed.
        "org.opencontainers.runc.checkpoint.enabled": "true",
    }
    try:
        from ociruntime.kernel.libseccomp import Library

        found["io.github.seccomp.libseccomp.version"] = Library().version()
    except OciError:
        pass  # without libseccomp nothing is said about it
    return found

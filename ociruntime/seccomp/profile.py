"""What linux.seccomp asks for, as far as every create needs it. Imported on the hot path."""

from __future__ import annotations

from marshal import dumps

from ociruntime import hostos as os
from ociruntime.seccomp.fingerprint import fingerprint
from ociruntime.spec.tables import SECCOMP_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.seccomp.stored import StoredListener
    from ociruntime.spec.documents import Config, SeccompConfig


# linux/seccomp.h; the names that a config may use are in SECCOMP_FLAGS.
TSYNC = 0x01
SPEC_ALLOW = 0x04
NEW_LISTENER = 0x08
TSYNC_ESRCH = 0x10
WAIT_KILLABLE_RECV = 0x20

NOTIFY = "SCMP_ACT_NOTIFY"
RECEIVER = "run.oci.seccomp.receiver"
"""The annotation with which crun is told the agent's socket; listenerPath goes before it."""

RAW_FILTER = "run.oci.seccomp_bpf_data"
"""The annotation with which crun is given a compiled filter, instead of linux.seccomp's rules."""

# What the program depends on: the listener and the flags do not change it.
PROGRAM_PARTS = ("defaultAction", "defaultErrnoRet", "architectures", "syscalls")
# Changes whenever the compiler makes another program of the same profile.
GENERATION = "3"


def notifies(profile: SeccompConfig) -> bool:
    """Whether some system call waits for an agent."""
    return any(rule["action"] == NOTIFY for rule in profile.get("syscalls", ()))


def listener_of(config: Config) -> StoredListener | None:
    """``path`` and ``metadata`` of the agent; None when no rule needs one.

    Without SCMP_ACT_NOTIFY listenerPath MUST be ignored (config-linux.md#seccomp).
    """
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile or not notifies(profile):
        return None
    path = profile.get("listenerPath") or (config.get("annotations") or {})[RECEIVER]
    return {"path": path, "metadata": profile.get("listenerMetadata", "")}


def filter_flags(profile: SeccompConfig, warnings: list[str]) -> int:
    """The flags of seccomp(2); what makes no sense is left out with a warning.

    No ``flags`` at all means SPEC_ALLOW, as in runc and crun: the mitigation of speculative store
    bypass costs much and is the process's own business. An empty list means no flag.
    """
    names = profile.get("flags")
    flags = SPEC_ALLOW
    if names is not None:
        flags = 0
        for name in names:
            flags |= SECCOMP_FLAGS[name]
    if notifies(profile):
        flags |= NEW_LISTENER
        if flags & TSYNC:
            flags |= TSYNC_ESRCH  # without it the kernel knows no way to answer both
    elif flags & WAIT_KILLABLE_RECV:
        flags &= ~WAIT_KILLABLE_RECV
        warnings.append(
            "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV does nothing without "
            "SCMP_ACT_NOTIFY, left out"
        )
    return flags


def program_key(profile: SeccompConfig) -> str:
    """The name of the profile's program: equal keys mean equal programs on this kind of machine.

    Object members in another order give another key, which only costs a compilation.
    """
    parts = [profile.get(name) for name in PROGRAM_PARTS]
    # Version 2 writes equal values as equal bytes; later ones depend on who else refers to them.
    return fingerprint(dumps([GENERATION, os.uname().machine, parts], 2)).hex()

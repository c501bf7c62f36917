"""Names of kernel parameters: their two spellings and the namespace that contains them (hot path).

Source: config-linux.md, "Sysctl"; namespaces(7); sysctl.d(5) for the two spellings.
"""

from __future__ import annotations

# Path below /proc/sys, or its beginning -> the namespace the parameter belongs to.  All others
# belong to the whole host.
_EXACT = {
    "kernel/domainname": "uts",
    "kernel/hostname": "uts",
    "kernel/pid_max": "pid",
    "kernel/sem": "ipc",
}
# The namespace's only from a version of Linux on, the host's before.
SINCE = {"kernel/pid_max": (6, 14)}
_PREFIXES = (
    ("net/", "network"),
    ("kernel/msg", "ipc"),
    ("kernel/shm", "ipc"),
    ("kernel/sem_", "ipc"),
    ("fs/mqueue/", "ipc"),
    ("user/", "user"),
)


def sysctl_path(name: str) -> str:
    """The path of the parameter below /proc/sys.

    The first separator tells the spelling: "net.ipv4.conf.eth0/1.rp_filter" and
    "net/ipv4/conf/eth0.1/rp_filter" are the same parameter.
    """
    dot, slash = name.find("."), name.find("/")
    if dot < 0 or 0 <= slash < dot:
        return name
    return "/".join(part.replace("/", ".") for part in name.split("."))


def sysctl_namespace(path: str) -> str:
    """The type of the namespace that contains the parameter, "" if it is the host's."""
    if path in _EXACT:
        return _EXACT[path]
    for prefix, namespace in _PREFIXES:
        if path.startswith(prefix):
            return namespace
    return ""

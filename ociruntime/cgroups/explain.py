"""What a refusal by the cgroup file system means, and the cure.

Sources: cgroups(7), cpuset(7), Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the
kernel.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Place

    # Controllers that a cgroup above would not hand down -> (its path, the errno of the refusal).
    Withheld = dict[str, tuple[str, int]]

READ_ONLY = "the cgroup file system is read-only; mount it read-write"
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def explain_create(number: int) -> str:
    """Why a cgroup could not be made."""
    return _BY_CREATE.get(number, "")


def explain_remove(number: int) -> str:
    """Why a cgroup could not be removed."""
    if number == errno.EROFS:
        return READ_ONLY
    return "not allowed; run as the user who made it" if number in NOT_ALLOWED else ""


def explain_foreign(place: Place, points: list[str]) -> str:
    """Why a place's path leads to no cgroup of its hierarchy; ``points``: all mount points."""
    for point in points:
        below = point.startswith(place.mountpoint + "/")
        if below and f"{place.directory}/".startswith(point + "/"):
            return explain_mounted(point)
    kind = "cgroup" if place.key else "cgroup2"
    return f"{place.mountpoint} is not a {kind} file system; mount the hierarchy there"


def explain_mounted(point: str) -> str:
    """Why neither a cgroup below what is mounted on ``point`` nor that one can be used."""
    return f"something is mounted on {point}; unmount it"


def explain_write(file: str, value: str, number: int) -> str:
    """Why ``file`` did not take ``value``."""
    words = _BY_FILE.get((file, number))
    if words:
        return words
    if number == errno.EROFS:
        return READ_ONLY
    if number in (errno.EACCES, errno.EPERM):
        return f"not allowed; run as root, or have the cgroup and its {file} delegated to this user"
    if number == errno.ENOENT and ".bfq." in file:
        return f"there is no {file} without that I/O scheduler; modprobe bfq, or remove the weight"
    if number == errno.ENOENT:
        return f"this kernel, or this cgroup, has no {file}; remove the limit from the config"
    if file.startswith("cpuset.") and number in (errno.EINVAL, errno.ENOSPC, errno.ERANGE):
        return (
            f"the parent cgroup, or this host, does not have all of {value}; choose among its own"
        )
    if number == errno.EBUSY and file.startswith("memory."):
        return "more memory is in use already than the limit allows; raise the limit"
    if number in (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW):
        return f"the kernel does not accept the value {value}; correct it"
    if number == errno.ENODEV:
        return f"no such device on this host, or the cgroup was removed meanwhile: {value}"
    return ""


def explain_missing(controller: str, withheld: Withheld) -> str:
    """Why the container's cgroup lacks a controller, and who has to do what."""
    if controller not in withheld:
        return (
            f"the controller {controller} is not delegated to this cgroup; enable it in "
            "cgroup.subtree_control of every cgroup above (systemd: Delegate=yes in the unit)"
        )
    path, refused = withheld[controller]
    if refused == errno.EBUSY:
        why = "has processes of its own; move them into a child cgroup first"
    elif refused in (errno.EACCES, errno.EPERM):
        why = "is not delegated to this user; run as root or delegate it (systemd: Delegate=yes)"
    elif refused == errno.EOPNOTSUPP:
        why = "is threaded, and the controller is not; choose another linux.cgroupsPath"
    else:
        why = f"refuses it (errno {refused})"
    return f"the controller {controller} cannot be enabled: {path} {why}"


_BY_CREATE = {
    errno.EACCES: "not allowed; run as root, or choose a cgroupsPath in a cgroup delegated to you",
    errno.EPERM: "not allowed; run as root, or choose a cgroupsPath in a cgroup delegated to you",
    errno.EROFS: "the cgroup file system is read-only; mount it read-write, or ask for no cgroup",
    errno.EAGAIN: "cgroup.max.descendants or cgroup.max.depth of one above is reached; raise it",
    errno.ENOSPC: "there is no room for another cgroup in this hierarchy; remove unused ones",
    errno.EINVAL: "the kernel does not take this name; choose another linux.cgroupsPath",
    errno.ENOTDIR: "a file has this name; choose another linux.cgroupsPath",
}
_NOT_DELEGATED = (
    "not allowed to move a process here; the user must be able to write cgroup.procs of it "
    "and of the nearest one above both it and the runtime's own"
)
_REAL_TIME = "the parent cgroup has no such real-time budget; raise its cpu.rt_runtime_us"
_BURST = "the burst must not be above the quota; lower it"
_IDLE = "an idle cgroup (cpu.idle = 1) has no share of the CPU to set; give one of the two"
_BY_FILE = {
    ("cgroup.procs", errno.EACCES): _NOT_DELEGATED,
    ("cgroup.procs", errno.EPERM): _NOT_DELEGATED,
    (
        "cgroup.procs",
        errno.ENOSPC,
    ): "cpuset.cpus or cpuset.mems is empty; set cpu.cpus and cpu.mems",
    ("cgroup.procs", errno.EBUSY): "a cgroup that hands controllers to its children can have no "
    "processes; choose a cgroupsPath without children",
    ("cgroup.procs", errno.EOPNOTSUPP): "it is a threaded cgroup, or below one; choose another "
    "linux.cgroupsPath",
    ("cgroup.procs", errno.EINVAL): "a real-time process needs a budget; set cpu.realtimeRuntime",
    ("cgroup.procs", errno.EAGAIN): "pids.max of it or of a cgroup above is reached; raise it",
    ("cpu.cfs_quota_us", errno.EINVAL): "a quota is at least 1000 us, at most the parent "
    "cgroup's, and not below the burst; correct cpu.quota, cpu.period or cpu.burst",
    (
        "cpu.cfs_period_us",
        errno.EINVAL,
    ): "a period is 1000 to 1000000 us, and with it the quota must "
    "stay within the parent cgroup's; correct cpu.period",
    ("cpu.max", errno.EINVAL): "quota and period are at least 1000 us, the period at most 1000000, "
    "and the quota is not below the burst; correct cpu.quota, cpu.period or cpu.burst",
    ("cpu.cfs_burst_us", errno.EINVAL): _BURST,
    ("cpu.max.burst", errno.EINVAL): _BURST,
    ("cpu.rt_runtime_us", errno.EINVAL): _REAL_TIME,
    ("cpu.rt_runtime_us", errno.EPERM): _REAL_TIME,
    ("cpu.shares", errno.EINVAL): _IDLE,
    ("cpu.weight", errno.EINVAL): _IDLE,
    ("memory.memsw.limit_in_bytes", errno.EINVAL): "memory plus swap is below the memory limit; "
    "raise memory.swap",
    (
        "memory.limit_in_bytes",
        errno.EINVAL,
    ): "the limit is above that of memory plus swap; lower it or raise memory.swap",
    ("net_prio.ifpriomap", errno.ENODEV): "the host has no such network interface",
}

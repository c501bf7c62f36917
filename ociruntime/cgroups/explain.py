"""What a refusal by the cgroup file system means, and the cure.

Sources: cgroups(7), cpuset(7), Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import errno

NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def explain_create(number: int) -> str:
    """Why a cgroup could not be made."""
    if number in (errno.EACCES, errno.EPERM):
        return "not allowed; run as root, or choose a cgroupsPath below a cgroup delegated to this user"
    if number == errno.EROFS:
        return "the cgroup file system is read-only; mount it read-write, or give no cgroupsPath and no limits"
    if number == errno.EAGAIN:
        return "cgroup.max.descendants or cgroup.max.depth of a cgroup above forbids another one; raise it"
    if number == errno.ENOSPC:
        return "the kernel has no room for another cgroup here; remove unused ones"
    return ""


def explain_write(file: str, value: str, number: int) -> str:
    """Why ``file`` did not take ``value``."""
    if number in (errno.EACCES, errno.EPERM):
        return _not_allowed(file)
    if number == errno.ENOENT:
        return f"this kernel or cgroup has no {file}; the limit cannot be set here, remove it from the config"
    words = _BY_FILE.get((file, number))
    if words:
        return words
    if file.startswith("cpuset.") and number in (errno.EINVAL, errno.EACCES, errno.ENOSPC, errno.ERANGE):
        return f"{value} is not a list of CPUs or nodes that the parent cgroup and this host have (e.g. 0-1,3)"
    if number == errno.EBUSY and file.startswith("memory."):
        return "more memory is in use already than the limit allows; raise the limit"
    if number in (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW):
        return f"the kernel does not accept the value {value}"
    if number == errno.ENODEV:
        return f"no such device on this host, or the cgroup was removed meanwhile: {value}"
    return ""


def _not_allowed(file: str) -> str:
    if file == "cgroup.procs":
        return (
            "not allowed to move a process here; this user needs write access to cgroup.procs of this cgroup and of "
            "the nearest one above it and the runtime's own"
        )
    if file == "cpu.rt_runtime_us":
        return "the parent cgroup has not enough real-time budget; raise its cpu.rt_runtime_us"
    return f"not allowed to write {file}; run as root, or have the cgroup delegated to this user"


_BY_FILE = {
    ("cgroup.procs", errno.ENOSPC): "cpuset.cpus or cpuset.mems of the cgroup is empty; set linux.resources.cpu.cpus and mems",
    ("cgroup.procs", errno.EBUSY): "it hands controllers to its children, so it may have no processes; choose a cgroup without children",
    ("cgroup.procs", errno.EOPNOTSUPP): "it is a threaded cgroup, or an invalid one below a threaded one; choose another cgroupsPath",
    ("cgroup.procs", errno.EINVAL): "the process cannot be moved there; a real-time process needs cpu.rt_runtime_us",
    ("cgroup.procs", errno.EAGAIN): "pids.max of this cgroup or one above it is reached; raise it",
    ("cpu.cfs_quota_us", errno.EINVAL): "the quota must be at least 1000 us and not above the parent cgroup's; correct quota or period",
    ("cpu.max", errno.EINVAL): "quota and period must be at least 1000 us, the period at most 1000000 us",
    ("cpu.cfs_period_us", errno.EINVAL): "the period must be 1000 to 1000000 us and not contradict the parent's quota",
    ("cpu.cfs_burst_us", errno.EINVAL): "the burst must not be above the quota",
    ("cpu.max.burst", errno.EINVAL): "the burst must not be above the quota",
    ("cpu.rt_runtime_us", errno.EINVAL): "the parent cgroup has not enough real-time budget; raise its cpu.rt_runtime_us",
    ("cpu.shares", errno.EINVAL): "an idle cgroup (cpu.idle = 1) has no shares; give one of the two",
    ("cpu.weight", errno.EINVAL): "an idle cgroup (cpu.idle = 1) has no weight; give one of the two",
    ("memory.memsw.limit_in_bytes", errno.EINVAL): "memory plus swap must not be below the memory limit; raise swap",
    ("memory.limit_in_bytes", errno.EINVAL): "the memory limit must not be above memory plus swap; lower it or raise swap",
    ("net_prio.ifpriomap", errno.ENODEV): "no such network interface in the runtime's network namespace",
}

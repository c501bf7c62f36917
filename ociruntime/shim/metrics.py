"""The Metrics messages of containerd/cgroups, version 1 and 2 (cgroup1/stats, cgroup2/stats)."""

from __future__ import annotations

from ociruntime.protobuf import DOUBLE, STRING, UINT, Message

# version 1

_MEMORY_COUNTERS = (
    "cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout",
    "pgfault", "pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable",
)  # fmt: skip
# Every one of them is a field of its own name, first for the cgroup, later for its tree.
MEMORY_STAT_V1 = {
    **{name: name for name in _MEMORY_COUNTERS},
    "hierarchical_memory_limit": "hierarchical_memory_limit",
    "hierarchical_swap_limit": "hierarchical_memsw_limit",
    **{f"total_{name}": f"total_{name}" for name in _MEMORY_COUNTERS},
}
_MEMORY_ENTRY = Message(limit=(1, UINT), usage=(2, UINT), max=(3, UINT), failcnt=(4, UINT))
_MEMORY_V1 = Message(
    **{name: (number, UINT) for number, name in enumerate(MEMORY_STAT_V1, 1)},
    usage=(33, _MEMORY_ENTRY),
    swap=(34, _MEMORY_ENTRY),
    kernel=(35, _MEMORY_ENTRY),
    kernel_tcp=(36, _MEMORY_ENTRY),
)
_HUGETLB_V1 = Message(usage=(1, UINT), max=(2, UINT), failcnt=(3, UINT), pagesize=(4, STRING))
_PIDS = Message(current=(1, UINT), limit=(2, UINT))
_CPU_USAGE = Message(total=(1, UINT), kernel=(2, UINT), user=(3, UINT), per_cpu=(4, [UINT]))
_THROTTLING = Message(periods=(1, UINT), throttled_periods=(2, UINT), throttled_time=(3, UINT))
_CPU_V1 = Message(usage=(1, _CPU_USAGE), throttling=(2, _THROTTLING))
_BLKIO_ENTRY = Message(
    op=(1, STRING), device=(2, STRING), major=(3, UINT), minor=(4, UINT), value=(5, UINT)
)
_BLKIO = Message(
    service_bytes=(1, [_BLKIO_ENTRY]),
    serviced=(2, [_BLKIO_ENTRY]),
    queued=(3, [_BLKIO_ENTRY]),
    service_time=(4, [_BLKIO_ENTRY]),
    wait_time=(5, [_BLKIO_ENTRY]),
    merged=(6, [_BLKIO_ENTRY]),
    time=(7, [_BLKIO_ENTRY]),
    sectors=(8, [_BLKIO_ENTRY]),
)
_RDMA_ENTRY = Message(device=(1, STRING), hca_handles=(2, UINT), hca_objects=(3, UINT))
_RDMA = Message(current=(1, [_RDMA_ENTRY]), limit=(2, [_RDMA_ENTRY]))
_OOM_CONTROL = Message(oom_kill_disable=(1, UINT), under_oom=(2, UINT), oom_kill=(3, UINT))
METRICS_V1 = Message(
    hugetlb=(1, [_HUGETLB_V1]),
    pids=(2, _PIDS),
    cpu=(3, _CPU_V1),
    memory=(4, _MEMORY_V1),
    blkio=(5, _BLKIO),
    rdma=(6, _RDMA),
    memory_oom_control=(9, _OOM_CONTROL),
)

# version 2

_PRESSURE_LINE = Message(avg10=(1, DOUBLE), avg60=(2, DOUBLE), avg300=(3, DOUBLE), total=(4, UINT))
_PRESSURE = Message(some=(1, _PRESSURE_LINE), full=(2, _PRESSURE_LINE))
_CPU_V2 = Message(
    usage_usec=(1, UINT),
    user_usec=(2, UINT),
    system_usec=(3, UINT),
    nr_periods=(4, UINT),
    nr_throttled=(5, UINT),
    throttled_usec=(6, UINT),
    psi=(7, _PRESSURE),
    nr_bursts=(8, UINT),
    burst_usec=(9, UINT),
)
# Fields 1 to 31 in this order, by their names in memory.stat.
MEMORY_STAT_V2 = (
    "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty",
    "file_writeback", "anon_thp",
    "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable",
    "slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault", "workingset_refault",
    "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan", "pgsteal",
    "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc",
    "thp_collapse_alloc",
)  # fmt: skip
MEMORY_FILES_V2 = {
    "usage": "memory.current",
    "usage_limit": "memory.max",
    "swap_usage": "memory.swap.current",
    "swap_limit": "memory.swap.max",
    "max_usage": "memory.peak",
    "swap_max_usage": "memory.swap.peak",
}
_MEMORY_V2 = Message(
    **{name: (number, UINT) for number, name in enumerate(MEMORY_STAT_V2, 1)},
    **{name: (number, UINT) for number, name in enumerate(MEMORY_FILES_V2, 32)},
    psi=(38, _PRESSURE),
)
_IO_ENTRY = Message(
    major=(1, UINT), minor=(2, UINT), rbytes=(3, UINT), wbytes=(4, UINT), rios=(5, UINT),
    wios=(6, UINT),
)  # fmt: skip
_IO = Message(usage=(1, [_IO_ENTRY]), psi=(2, _PRESSURE))
_HUGETLB_V2 = Message(current=(1, UINT), max=(2, UINT), pagesize=(3, STRING), failcnt=(4, UINT))
_MEMORY_EVENTS = Message(
    low=(1, UINT), high=(2, UINT), max=(3, UINT), oom=(4, UINT), oom_kill=(5, UINT),
    oom_group_kill=(6, UINT),
)  # fmt: skip
METRICS_V2 = Message(
    pids=(1, _PIDS),
    cpu=(2, _CPU_V2),
    memory=(4, _MEMORY_V2),
    rdma=(5, _RDMA),
    io=(6, _IO),
    hugetlb=(7, [_HUGETLB_V2]),
    memory_events=(8, _MEMORY_EVENTS),
)

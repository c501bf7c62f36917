"""GENERATED from schemas/config.json by ociruntime/spec/compile.py: do not edit.

Each name is a definition of the schema as a check of ``checks``; CONFIG is the whole document.
"""
# fmt: off
# ruff: noqa: I001

from __future__ import annotations

from ociruntime.spec.checks import (
    anything, array, boolean, integer, is_absolute, is_access, is_bandwidth_line, is_class_name,
    is_file_name, is_interface_name, is_line, is_number_list, is_page_size, is_version, length,
    mapping, matching, no_strings, one_of, some_strings, string, strings, structure,
)

ROOT = structure({
    "path": length(1, 2**31),
    "readonly": boolean,
}, "path")
ID_MAPPING = structure({
    "containerID": integer(0, 4294967294),
    "hostID": integer(0, 4294967294),
    "size": integer(1, 4294967295),
}, "containerID", "hostID", "size")
MOUNT = structure({
    "destination": length(1, 2**31),
    "source": string,
    "type": string,
    "options": strings,
    "uidMappings": array(ID_MAPPING),
    "gidMappings": array(ID_MAPPING),
}, "destination")
UINT64 = integer(0, 18446744073709551615)
ID = integer(0, 4294967294)
USER = structure({
    "uid": ID,
    "gid": ID,
    "umask": integer(0, 511),
    "additionalGids": array(ID),
    "username": string,
})
PROCESS = structure({
    "terminal": boolean,
    "consoleSize": structure({
        "height": UINT64,
        "width": UINT64,
    }, "height", "width"),
    "cwd": matching(is_absolute),
    "env": strings,
    "args": some_strings,
    "commandLine": string,
    "user": USER,
    "capabilities": structure({
        "bounding": strings,
        "effective": strings,
        "permitted": strings,
        "inheritable": strings,
        "ambient": strings,
    }),
    "rlimits": array(structure({
        "type": one_of(
            "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE",
            "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS",
            "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO",
            "RLIMIT_RTTIME",
        ),
        "soft": UINT64,
        "hard": UINT64,
    }, "type", "soft", "hard")),
    "apparmorProfile": string,
    "selinuxLabel": string,
    "oomScoreAdj": integer(-1000, 1000),
    "noNewPrivileges": boolean,
    "scheduler": structure({
        "policy": one_of(
            "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
            "SCHED_DEADLINE",
        ),
        "nice": integer(-20, 19),
        "priority": integer(0, 99),
        "flags": array(one_of(
            "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
        )),
        "runtime": UINT64,
        "deadline": UINT64,
        "period": UINT64,
    }, "policy"),
    "ioPriority": structure({
        "class": one_of(
            "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE",
        ),
        "priority": integer(0, 7),
    }, "class"),
    "execCPUAffinity": structure({
        "initial": matching(is_number_list),
        "final": matching(is_number_list),
    }),
}, "cwd", "args")
HOOK = structure({
    "path": matching(is_absolute),
    "args": strings,
    "env": strings,
    "timeout": integer(1, 2147483647),
}, "path")
ANNOTATIONS = mapping(len, string)
NAMESPACE = structure({
    "type": one_of(
        "user", "mount", "uts", "ipc", "network", "pid", "cgroup", "time",
    ),
    "path": matching(is_absolute),
}, "type")
INT64 = integer(-9223372036854775808, 9223372036854775807)
TIME_OFFSET = structure({
    "secs": INT64,
    "nanosecs": integer(0, 999999999),
})
DEVICE_MAJOR = integer(0, 4095)
DEVICE_MINOR = integer(0, 1048575)
DEVICE = structure({
    "type": one_of(
        "c", "u", "b", "p",
    ),
    "path": matching(is_absolute),
    "major": DEVICE_MAJOR,
    "minor": DEVICE_MINOR,
    "fileMode": integer(0, 65535),
    "uid": ID,
    "gid": ID,
}, "type", "path")
NET_DEVICE = structure({
    "name": matching(is_interface_name),
})
BYTE_LIMIT = integer(-1, 9223372036854775807)
WEIGHT_DEVICE = structure({
    "major": DEVICE_MAJOR,
    "minor": DEVICE_MINOR,
    "weight": integer(0, 1000),
    "leafWeight": integer(0, 1000),
}, "major", "minor")
THROTTLE = structure({
    "major": DEVICE_MAJOR,
    "minor": DEVICE_MINOR,
    "rate": UINT64,
}, "major", "minor", "rate")
UINT32 = integer(0, 4294967295)
RESOURCES = structure({
    "unified": mapping(is_file_name, string),
    "devices": array(structure({
        "allow": boolean,
        "type": one_of(
            "a", "c", "b",
        ),
        "major": integer(-1, 4095),
        "minor": integer(-1, 1048575),
        "access": matching(is_access),
    }, "allow")),
    "memory": structure({
        "limit": BYTE_LIMIT,
        "reservation": BYTE_LIMIT,
        "swap": BYTE_LIMIT,
        "kernel": BYTE_LIMIT,
        "kernelTCP": BYTE_LIMIT,
        "swappiness": integer(0, 100),
        "disableOOMKiller": boolean,
        "useHierarchy": boolean,
        "checkBeforeUpdate": boolean,
    }),
    "cpu": structure({
        "shares": UINT64,
        "quota": INT64,
        "burst": UINT64,
        "period": UINT64,
        "realtimeRuntime": INT64,
        "realtimePeriod": UINT64,
        "cpus": matching(is_line),
        "mems": matching(is_line),
        "idle": integer(0, 1),
    }),
    "blockIO": structure({
        "weight": integer(0, 1000),
        "leafWeight": integer(0, 1000),
        "weightDevice": array(WEIGHT_DEVICE),
        "throttleReadBpsDevice": array(THROTTLE),
        "throttleWriteBpsDevice": array(THROTTLE),
        "throttleReadIOPSDevice": array(THROTTLE),
        "throttleWriteIOPSDevice": array(THROTTLE),
    }),
    "hugepageLimits": array(structure({
        "pageSize": matching(is_page_size),
        "limit": UINT64,
    }, "pageSize", "limit")),
    "network": structure({
        "classID": UINT32,
        "priorities": array(structure({
            "name": length(1, 2**31),
            "priority": UINT32,
        }, "name", "priority")),
    }),
    "pids": structure({
        "limit": INT64,
    }),
    "rdma": mapping(len, structure({
        "hcaHandles": UINT32,
        "hcaObjects": UINT32,
    })),
})
SYSCALL = structure({
    "names": some_strings,
    "action": one_of(
        "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
    ),
    "errnoRet": integer(0, 65535),
    "args": array(structure({
        "index": integer(0, 5),
        "value": UINT64,
        "valueTwo": UINT64,
        "op": one_of(
            "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE",
            "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
        ),
    }, "index", "value", "op")),
}, "names", "action")
SECCOMP = structure({
    "defaultAction": one_of(
        "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY",
    ),
    "defaultErrnoRet": integer(0, 65535),
    "architectures": array(one_of(
        "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
    )),
    "flags": array(one_of(
        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    )),
    "listenerPath": string,
    "listenerMetadata": string,
    "syscalls": array(SYSCALL),
}, "defaultAction")
LINUX = structure({
    "namespaces": array(NAMESPACE),
    "uidMappings": array(ID_MAPPING),
    "gidMappings": array(ID_MAPPING),
    "timeOffsets": structure({
        "monotonic": TIME_OFFSET,
        "boottime": TIME_OFFSET,
    }),
    "devices": array(DEVICE),
    "netDevices": mapping(is_interface_name, NET_DEVICE),
    "cgroupsPath": string,
    "resources": RESOURCES,
    "rootfsPropagation": one_of(
        "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
    ),
    "seccomp": SECCOMP,
    "sysctl": mapping(len, string),
    "maskedPaths": array(matching(is_absolute)),
    "readonlyPaths": array(matching(is_absolute)),
    "mountLabel": string,
    "intelRdt": structure({
        "closID": matching(is_class_name),
        "schemata": array(matching(is_line)),
        "l3CacheSchema": matching(is_line),
        "memBwSchema": matching(is_bandwidth_line),
        "enableMonitoring": boolean,
    }),
    "memoryPolicy": structure({
        "mode": one_of(
            "MPOL_DEFAULT", "MPOL_PREFERRED", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_LOCAL",
            "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE",
        ),
        "nodes": matching(is_number_list),
        "flags": array(one_of(
            "MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES", "MPOL_F_NUMA_BALANCING",
        )),
    }, "mode"),
    "personality": structure({
        "domain": one_of(
            "LINUX", "LINUX32",
        ),
        "flags": no_strings,
    }, "domain"),
})
CONFIG = structure({
    "ociVersion": matching(is_version),
    "root": ROOT,
    "mounts": array(MOUNT),
    "process": PROCESS,
    "hostname": length(0, 64),
    "domainname": length(0, 64),
    "hooks": structure({
        "prestart": array(HOOK),
        "createRuntime": array(HOOK),
        "createContainer": array(HOOK),
        "startContainer": array(HOOK),
        "poststart": array(HOOK),
        "poststop": array(HOOK),
    }),
    "annotations": ANNOTATIONS,
    "linux": LINUX,
    "windows": anything,
    "solaris": anything,
    "vm": anything,
    "zos": anything,
    "freebsd": anything,
}, "ociVersion", "root")

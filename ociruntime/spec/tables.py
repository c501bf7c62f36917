"""The vocabularies of runtime-spec 1.3.0 on Linux, one table each, with the kernel's numbers.

Validator, planner and ``features`` read the same tables: no name is accepted by one and unknown to
another.  Everything is a plain literal: this module is on the hot path and is unmarshalled without
running any code.  Nobody may change a table at run time.

Sources: config.md, config-linux.md and features-linux.md of the runtime-spec for the names; the
kernel's uapi headers for the numbers (named at each table).
"""

# config.md, "Specification version": the first release, and the newest one implemented here.
OCI_VERSION_MIN = "1.0.0"
OCI_VERSION_MAX = "1.3.0"

# ids are unsigned 32 bit and (uid_t)-1 means "leave alone" to chown(2) and setresuid(2).
ID_MAX = 4294967294

# linux/sched.h: flag of clone(2), unshare(2) and setns(2); order is the order of entering.
NAMESPACES = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "network": 0x40000000,
    "pid": 0x20000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}

# namespaces(7): name of the namespace below /proc/PID/ns.
NAMESPACE_FILES = {
    "user": "user",
    "mount": "mnt",
    "uts": "uts",
    "ipc": "ipc",
    "network": "net",
    "pid": "pid",
    "cgroup": "cgroup",
    "time": "time",
}

# linux/capability.h
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_LINUX_IMMUTABLE": 9,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_BROADCAST": 11,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_IPC_OWNER": 15,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_PACCT": 20,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22,
    "CAP_SYS_NICE": 23,
    "CAP_SYS_RESOURCE": 24,
    "CAP_SYS_TIME": 25,
    "CAP_SYS_TTY_CONFIG": 26,
    "CAP_MKNOD": 27,
    "CAP_LEASE": 28,
    "CAP_AUDIT_WRITE": 29,
    "CAP_AUDIT_CONTROL": 30,
    "CAP_SETFCAP": 31,
    "CAP_MAC_OVERRIDE": 32,
    "CAP_MAC_ADMIN": 33,
    "CAP_SYSLOG": 34,
    "CAP_WAKE_ALARM": 35,
    "CAP_BLOCK_SUSPEND": 36,
    "CAP_AUDIT_READ": 37,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
    "CAP_CHECKPOINT_RESTORE": 40,
}

# config.md, "Linux Process": the five sets of capabilities(7).
CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")

# asm-generic/resource.h (alpha, mips and sparc number some of them differently: not supported).
RLIMITS = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}

# config-linux.md, "Devices": type -> file type bits of mknod(2); "u" is an unbuffered "c".
DEVICE_TYPES = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}

# config-linux.md, "Default Devices": path -> (major, minor), all of type c and mode 0666.
DEFAULT_DEVICES = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}

# runtime-linux.md, "Dev symbolic links", and config-linux.md, "Default Devices": path -> target.
DEFAULT_SYMLINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/ptmx": "pts/ptmx",
}

# config.md, "POSIX-platform Hooks": in the order of running -> where the hook's process runs.
HOOKS = {
    "prestart": "runtime",
    "createRuntime": "runtime",
    "createContainer": "container",
    "startContainer": "container",
    "poststart": "runtime",
    "poststop": "runtime",
}

# linux/mount.h: propagation, MS_REC added by the recursive names.  config-linux.md, "Rootfs Mount
# Propagation", lists the plain four; dockerd writes the recursive ones.
MS_REC = 0x4000
PROPAGATION = {
    "private": 0x40000,
    "rprivate": 0x44000,
    "shared": 0x100000,
    "rshared": 0x104000,
    "slave": 0x80000,
    "rslave": 0x84000,
    "unbindable": 0x20000,
    "runbindable": 0x24000,
}

# linux/seccomp.h SECCOMP_RET_*, which are also libseccomp's SCMP_ACT_*; ERRNO and TRACE take a
# value in the low 16 bits.
SECCOMP_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}

# config-linux.md, "Seccomp", errnoRet: the actions that carry a value.
SECCOMP_ACTIONS_WITH_VALUE = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")

# libseccomp's architecture tokens, which are the AUDIT_ARCH_* of linux/audit.h.
SECCOMP_ARCHITECTURES = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
    "SCMP_ARCH_M68K": 0x00000004,
    "SCMP_ARCH_MIPS": 0x00000008,
    "SCMP_ARCH_MIPS64": 0x80000008,
    "SCMP_ARCH_MIPS64N32": 0xA0000008,
    "SCMP_ARCH_MIPSEL": 0x40000008,
    "SCMP_ARCH_MIPSEL64": 0xC0000008,
    "SCMP_ARCH_MIPSEL64N32": 0xE0000008,
    "SCMP_ARCH_PPC": 0x00000014,
    "SCMP_ARCH_PPC64": 0x80000015,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x00000016,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_SH": 0x4000002A,
    "SCMP_ARCH_SHEB": 0x0000002A,
    "SCMP_ARCH_PARISC": 0x0000000F,
    "SCMP_ARCH_PARISC64": 0x8000000F,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
}

# libseccomp's enum scmp_compare.
SECCOMP_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

# linux/seccomp.h: flags of seccomp(2) SECCOMP_SET_MODE_FILTER.
SECCOMP_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0x01,
    "SECCOMP_FILTER_FLAG_LOG": 0x02,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 0x04,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0x20,
}

# linux/sched.h
SCHEDULER_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}

# linux/sched.h: sched_flags of sched_setattr(2).
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

# linux/ioprio.h: the class goes into the bits from IOPRIO_CLASS_SHIFT up, the priority below.
IOPRIO_CLASS_SHIFT = 13
IOPRIO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}

# linux/mempolicy.h
MEMORY_POLICY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_POLICY_FLAGS = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,
}

# sys/personality.h: PER_LINUX and PER_LINUX32.
PERSONALITY_DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}

# runtime.md, "State"; "paused" is what every runtime reports for a frozen container.
STATUSES = ("creating", "created", "running", "paused", "stopped")

# linux/mount.h: MOUNT_ATTR_* of mount_setattr(2) and fsmount(2).
MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOEXEC = 0x00000008
MOUNT_ATTR_ATIME = 0x00000070  # a field, not a bit: RELATIME, NOATIME or STRICTATIME
MOUNT_ATTR_RELATIME = 0x00000000
MOUNT_ATTR_NOATIME = 0x00000010
MOUNT_ATTR_STRICTATIME = 0x00000020
MOUNT_ATTR_NODIRATIME = 0x00000080
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

# config.md, "Linux mount options": name -> (bits to set, bits to clear).  With an "r" in front the
# same names apply to the whole tree.  The names of the access time field are in MOUNT_ATIMES.
MOUNT_ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}

# name -> (value of the MOUNT_ATTR_ATIME field the option speaks of, whether it asks for that value
# or takes it back).
MOUNT_ATIMES = {
    "relatime": (MOUNT_ATTR_RELATIME, True),
    "norelatime": (MOUNT_ATTR_RELATIME, False),
    "noatime": (MOUNT_ATTR_NOATIME, True),
    "atime": (MOUNT_ATTR_NOATIME, False),
    "strictatime": (MOUNT_ATTR_STRICTATIME, True),
    "nostrictatime": (MOUNT_ATTR_STRICTATIME, False),
}

# Flags of the superblock: name -> (the flag it speaks of, the name fsconfig(2) gets).  "ro" and
# "rw" are here *and* above, as mount(8) means both.
MOUNT_SUPERBLOCK = {
    "ro": ("ro", "ro"),
    "rw": ("ro", "rw"),
    "sync": ("sync", "sync"),
    "async": ("sync", "async"),
    "dirsync": ("dirsync", "dirsync"),
    "lazytime": ("lazytime", "lazytime"),
    "nolazytime": ("lazytime", "nolazytime"),
    "mand": ("mand", "mand"),
    "nomand": ("mand", "nomand"),
}

# Names the spec obliges us to know and for which fsconfig(2) has no generic flag: "defaults" and
# "loud" are what happens anyway, a filesystem context never prints ("silent"), and only some file
# systems still let iversion be chosen.
MOUNT_NOTHING = ("defaults", "silent", "loud", "noiversion")
MOUNT_IF_KNOWN = ("iversion",)

# What is done with the mount as a whole: name -> the attribute of mount_options.MountOptions.
MOUNT_ACTIONS = {
    "bind": "bind",
    "rbind": "rbind",
    "remount": "remount",
    "idmap": "idmap",
    "ridmap": "ridmap",
    "tmpcopyup": "tmpcopyup",
    "src-nofollow": "src_nofollow",
    "dest-nofollow": "dest_nofollow",
    "copy-symlink": "copy_symlink",
}

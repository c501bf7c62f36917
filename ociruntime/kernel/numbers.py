"""Syscall numbers of the two architectures we run on (asm/unistd_64.h, asm-generic/unistd.h).

Numbers from 424 on are the same everywhere.
"""

import posix

_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
_X86_64 = {
    "read": 0, "write": 1, "close": 3, "lseek": 8, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "ioctl": 16, "pread64": 17, "sendfile": 40, "socket": 41, "fcntl": 72, "flock": 73, "umask": 95,
    "getuid": 102, "setuid": 105, "getpriority": 140, "geteuid": 107, "setsid": 112,
    "setgroups": 116, "setresuid": 117, "setresgid": 119, "personality": 135, "capget": 125,
    "capset": 126, "statfs": 137, "fstatfs": 138, "sched_setattr": 314, "pivot_root": 155,
    "prctl": 157, "chroot": 161, "mount": 165, "umount2": 166, "sethostname": 170,
    "setdomainname": 171, "add_key": 248, "keyctl": 250, "ioprio_set": 251, "waitid": 247,
    "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263,
    "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267, "fchmodat": 268,
    "faccessat": 269, "unshare": 272, "dup3": 292, "prlimit64": 302, "setns": 308,
    "renameat2": 316, "seccomp": 317, "memfd_create": 319, "bpf": 321, "execveat": 322,
    "statx": 332, "getcwd": 79, "fchdir": 81, "chdir": 80, "fchmod": 91, "fchown": 93,
    "getdents64": 217, "sched_setaffinity": 203, "set_mempolicy": 238, "kill": 62,
    "signalfd4": 289, "ftruncate": 77, "getpid": 39, "fgetxattr": 193, "fsetxattr": 190,
    "execve": 59, "sendmsg": 46,
}  # fmt: skip
_GENERIC = {
    "read": 63, "write": 64, "close": 57, "lseek": 62, "rt_sigaction": 134, "rt_sigprocmask": 135,
    "ioctl": 29, "pread64": 67, "sendfile": 71, "socket": 198, "fcntl": 25, "flock": 32,
    "umask": 166, "getuid": 174, "setuid": 146, "getpriority": 141, "geteuid": 175, "setsid": 157,
    "setgroups": 159, "setresuid": 147, "setresgid": 149, "personality": 92, "capget": 90,
    "capset": 91, "statfs": 43, "fstatfs": 44, "sched_setattr": 274, "pivot_root": 41,
    "prctl": 167, "chroot": 51, "mount": 40, "umount2": 39, "sethostname": 161,
    "setdomainname": 162, "add_key": 217, "keyctl": 219, "ioprio_set": 30, "waitid": 95,
    "openat": 56, "mkdirat": 34, "mknodat": 33, "fchownat": 54, "unlinkat": 35,
    "renameat": 38, "linkat": 37, "symlinkat": 36, "readlinkat": 78, "fchmodat": 53,
    "faccessat": 48, "unshare": 97, "dup3": 24, "prlimit64": 261, "setns": 268,
    "renameat2": 276, "seccomp": 277, "memfd_create": 279, "bpf": 280, "execveat": 281,
    "statx": 291, "getcwd": 17, "fchdir": 50, "chdir": 49, "fchmod": 52, "fchown": 55,
    "getdents64": 61, "sched_setaffinity": 122, "set_mempolicy": 237, "kill": 129,
    "signalfd4": 74, "ftruncate": 46, "getpid": 172, "fgetxattr": 10, "fsetxattr": 7,
    "execve": 221, "sendmsg": 211,
}  # fmt: skip

MACHINE = posix.uname().machine
NUMBERS: dict[str, int] = {**(_X86_64 if MACHINE == "x86_64" else _GENERIC), **_COMMON}

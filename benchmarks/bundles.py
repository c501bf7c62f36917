"""The bundles that are measured: /bin/true and a sleeper, minimal and as engines configure them."""

from __future__ import annotations

import ctypes
import json
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

# What engines' default filters leave out of all system calls, more or less.
DENIED = frozenset(
    [
        "_sysctl",
        "acct",
        "add_key",
        "bpf",
        "clock_adjtime",
        "clock_settime",
        "clone",
        "clone3",
        "create_module",
        "delete_module",
        "finit_module",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "get_kernel_syms",
        "init_module",
        "ioperm",
        "iopl",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "lookup_dcookie",
        "mbind",
        "migrate_pages",
        "mount",
        "mount_setattr",
        "move_mount",
        "move_pages",
        "nfsservctl",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "personality",
        "pivot_root",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
        "query_module",
        "quotactl",
        "quotactl_fd",
        "reboot",
        "request_key",
        "set_mempolicy",
        "setns",
        "settimeofday",
        "stime",
        "swapoff",
        "swapon",
        "sysfs",
        "umount",
        "umount2",
        "unshare",
        "uselib",
        "userfaultfd",
        "ustat",
        "vm86",
        "vm86old",
    ]
)
MOST_CALLS = 470
ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
NEW_NAMESPACES = 0x7E020000
BINDS = 13
KEPT = ("bus", "fs", "irq", "sys", "sysrq-trigger")
HIDDEN = ("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list",
          "timer_stats")  # fmt: skip


def make_rootfs(directory: Path) -> None:
    """A busybox root filesystem."""
    binaries = directory / "bin"
    binaries.mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("busybox is missing; apt-get install busybox-static")
    shutil.copy(busybox, binaries / "busybox")
    for name in ("sh", "true", "sleep"):
        (binaries / name).symlink_to("busybox")
    for name in ("proc", "sys", "dev", "etc", "tmp"):
        (directory / name).mkdir()


def seccomp() -> dict[str, Any]:
    """A filter like those of engines: some three hundred names are allowed."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    libc = ctypes.CDLL(None)
    names = []
    for number in range(MOST_CALLS):
        pointer = library.seccomp_syscall_resolve_num_arch(0, number)
        if pointer:
            names.append(ctypes.string_at(pointer).decode())
            libc.free(ctypes.c_void_p(pointer))
    allow = "SCMP_ACT_ALLOW"
    masked = {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    rules: list[dict[str, Any]] = [
        {"names": sorted(set(names) - DENIED), "action": allow},
        {"names": ["clone"], "action": allow, "args": [masked]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]
    rules += [
        {
            "names": ["personality"],
            "action": allow,
            "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
        }
        for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
    ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ARCHITECTURES.get(platform.machine(), []),
        "syscalls": rules,
    }


def config(*, full: bool, args: list[str]) -> dict[str, Any]:
    """The smallest useful configuration, or one as engines write it: 20 mounts, seccomp, limits."""
    names = ("pid", "network", "ipc", "uts", "mount", "cgroup") if full else ("pid", "mount")
    document: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            # Or the links there stay from run to run, which runc does not take.
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "mode=755", "size=65536k"],
            },
        ],
        "linux": {"namespaces": [{"type": name} for name in names]},
    }
    if full:
        _as_engines_do(document)
    return document


def _as_engines_do(document: dict[str, Any]) -> None:
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"]
    process, linux = document["process"], document["linux"]
    process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), capabilities)
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}]
    process["noNewPrivileges"] = True
    document["root"]["readonly"] = True
    document["hostname"] = "benchmark"
    secure = ["nosuid", "noexec", "nodev"]
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    for destination, kind, options in (
        ("/dev/pts", "devpts", terminals),
        ("/dev/shm", "tmpfs", [*secure, "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", secure),
        ("/sys", "sysfs", [*secure, "ro"]),
        ("/sys/fs/cgroup", "cgroup", [*secure, "relatime", "ro"]),
    ):
        document["mounts"].append(
            {"destination": destination, "type": kind, "source": kind, "options": options}
        )
    for number in range(BINDS):
        document["mounts"].append(
            {
                "destination": f"/etc/file{number}",
                "type": "bind",
                "source": "/etc/hostname",
                "options": ["rbind", "rprivate", "ro"],
            }
        )
    linux["resources"] = {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 256 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        "pids": {"limit": 100},
    }
    linux["seccomp"] = seccomp()
    linux["maskedPaths"] = [*(f"/proc/{name}" for name in HIDDEN), "/sys/firmware"]
    linux["readonlyPaths"] = [f"/proc/{name}" for name in KEPT]


def make_bundles(work: Path) -> None:
    """``minimal``, ``full`` (both /bin/true), ``sleeper``, ``crowd`` (minimal) below ``work``."""
    for name, full, args in (
        ("minimal", False, ["/bin/true"]),
        ("full", True, ["/bin/true"]),
        ("sleeper", True, ["/bin/sleep", "1000"]),
        ("crowd", False, ["/bin/sleep", "1000"]),
    ):
        make_rootfs(work / name / "rootfs")
        (work / name / "config.json").write_text(json.dumps(config(full=full, args=args)))

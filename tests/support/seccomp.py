"""Profiles of seccomp."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def corpus() -> Path:
    """Return the folder of configs that engines wrote; skips the test without it."""
    default = Path(__file__).resolve().parents[3] / "shared" / "oracle"
    place = Path(os.environ.get("OCIRUNTIME_ORACLE") or default) / "corpus"
    if not place.is_dir():
        pytest.skip(f"no configs of engines at {place} (set OCIRUNTIME_ORACLE)")
    return place


def rule(names: str, action: str = "ALLOW", **properties: Any) -> dict[str, Any]:
    """Return one element of syscalls; `names` are separated by blanks."""
    return {"names": names.split(), "action": f"SCMP_ACT_{action}", **properties}


def condition(index: int, operator: str, value: int, second: int = 0) -> dict[str, Any]:
    """Return one element of args."""
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}


def profile(default: str, *rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return linux.seccomp."""
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **properties}


# What a static program, the shell and oci-init need, as names: enough to run in a default of ERRNO.
BASIC = (
    "access arch_prctl brk capset chdir clone clone3 close dup dup2 dup3 execve exit exit_group "
    "faccessat fcntl fork fstat futex getcwd getdents64 getegid geteuid getgid getpgrp getpid "
    "getppid getrandom getuid ioctl lseek mmap mprotect munmap nanosleep newfstatat "
    "clock_nanosleep open openat pipe pipe2 poll prctl prlimit64 read readlink readlinkat readv "
    "rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_yield sendmsg set_robust_list "
    "set_tid_address setpgid sigaltstack stat statx tgkill uname vfork wait4 waitid write writev"
)


def strict(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return a profile of the kind that engines write: all is EPERM but what is named."""
    return profile("ERRNO", rule(BASIC), *rules, **properties)

"""Attributes of a process that only system calls tell: I/O priority, scheduling attributes."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from dataclasses import dataclass

# The numbers of ioprio_get and sched_getattr, by machine.
_NUMBERS = {"x86_64": (252, 315), "aarch64": (31, 275)}
IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASSES = ("none", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")
POLICIES = {0: "SCHED_OTHER", 1: "SCHED_FIFO", 2: "SCHED_RR", 3: "SCHED_BATCH", 5: "SCHED_IDLE",
            6: "SCHED_DEADLINE"}  # fmt: skip
RESET_ON_FORK = 1
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")


@dataclass(frozen=True)
class Scheduling:
    """struct sched_attr: the times are nanoseconds."""

    policy: str
    flags: int
    nice: int
    priority: int
    runtime: int
    deadline: int
    period: int


class UnknownMachineError(Exception):
    """The numbers of the system calls are not known for this machine."""


def _call(position: int, *args: object) -> int:
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        raise UnknownMachineError(f"system call numbers of {platform.machine()} are not known here")
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(numbers[position], *args))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def io_priority(pid: int) -> tuple[str, int]:
    """Return class and level of a process's I/O priority; raises OSError."""
    value = _call(0, IOPRIO_WHO_PROCESS, pid)
    return IOPRIO_CLASSES[value >> 13 & 3], value & 7


def scheduling(pid: int) -> Scheduling:
    """Return the scheduling attributes of a process; raises OSError."""
    buffer = ctypes.create_string_buffer(_ATTRIBUTES.size)
    _call(1, pid, buffer, _ATTRIBUTES.size, 0)
    _, policy, flags, nice, priority, runtime, deadline, period = _ATTRIBUTES.unpack(buffer.raw)
    return Scheduling(
        POLICIES.get(policy, str(policy)), flags, nice, priority, runtime, deadline, period
    )

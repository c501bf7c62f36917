"""Children that have ended and cannot be waited for, because a tracer keeps them (ptrace(2))."""

from __future__ import annotations

import time
from _struct import unpack_from

from ociruntime import hostos as os
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# How long the tracer has for it, and how often we look.
KEPT_SECONDS, LOOK_SECONDS = 10.0, 0.01
# The answers of waitid(2).
EXITED, KILLED = 1, 2
# proc_pid_stat(5): exit_code, counted from the state letter; 0 for who may not trace the process.
EXIT_CODE = 49
SIGNALS = 0x7F


def wait_for_kept(kernel: Kernel, pidfd: int) -> tuple[int, int]:
    """``Kernel.wait_pidfd`` for a child that has ended: what waitid(2) says within
    ``KEPT_SECONDS``, else what /proc says; then it stays a zombie until its tracer ends.
    """
    info = bytearray(128)
    deadline = time.monotonic() + KEPT_SECONDS
    while time.monotonic() < deadline:
        kernel.invoke("waitid", c.P_PIDFD, pidfd, info, c.WEXITED | c.WNOHANG, None)
        code, status = unpack_from("=i", info, 8)[0], unpack_from("=i", info, 24)[0]
        if code:
            return code, status
        time.sleep(LOOK_SECONDS)
    return told_by_proc(pidfd)


def told_by_proc(pidfd: int) -> tuple[int, int]:
    """(si_code, si_status) of a process that has ended and nobody has waited for."""
    from ociruntime.kernel.pids import stat_fields

    return how_it_ended(stat_fields(_pid_of(pidfd)))


def how_it_ended(fields: list[bytes]) -> tuple[int, int]:
    """(si_code, si_status) of a zombie with these ``stat_fields``; killed where it is not told."""
    status = int(fields[EXIT_CODE]) if len(fields) > EXIT_CODE else c.SIGKILL
    number = status & SIGNALS
    return (KILLED, number) if number else (EXITED, status >> 8)


def _pid_of(pidfd: int) -> int:
    """pidfd_open(2): a line of /proc/PID/fdinfo/FD. The number is still its: it is not reaped."""
    with open(f"/proc/{os.getpid()}/fdinfo/{pidfd}", "rb") as file:
        for line in file:
            name, _, value = line.partition(b":")
            if name == b"Pid":
                return int(value)
    return 0

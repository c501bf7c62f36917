"""Is that process still the one we made? A pid alone cannot tell; pid and start time can
(proc_pid_stat(5)).
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os


def start_time(pid: int) -> int:
    """When process ``pid`` started, in clock ticks since boot; 0 when there is none or it is a
    zombie.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 2048)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The second field is the command's name, which may hold blanks and parentheses.
    fields = text[text.rindex(b")") + 2 :].split()
    return 0 if fields[0] in b"ZXx" else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """True when the process that had ``pid`` and started at ``started`` still runs."""
    return pid > 0 and started > 0 and start_time(pid) == started


def open_process(pid: int, started: int) -> int:
    """A pidfd of exactly that process; -1 when it has ended.

    The pidfd is taken first and the start time compared after it, so a reused pid is never
    signalled.
    """
    if pid <= 0:
        return -1
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):
            return -1
        raise
    if is_alive(pid, started):
        return pidfd
    os.close(pidfd)
    return -1

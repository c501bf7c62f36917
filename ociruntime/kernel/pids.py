"""Is that process still the one we made? A pid alone cannot tell; pid and start time can
(proc_pid_stat(5)).
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os

# Of what ``stat_fields`` returns.
STATE, PARENT, THREADS, STARTED = 0, 1, 17, 19
ENDED_STATES = b"ZXx"


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state letter on (proc_pid_stat(5)); [] when there is no
    such process.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 2048)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The second field is the command's name, which may hold blanks and parentheses.
    return text[text.rindex(b")") + 2 :].split()


def has_ended(fields: list[bytes]) -> bool:
    """Whether a process with these ``stat_fields`` has ended.

    The state letter alone is that of its main thread, which may have ended before others
    (pthread_exit(3)): like a pidfd, we ask whether it was the last one.
    """
    return not fields or (fields[STATE] in ENDED_STATES and int(fields[THREADS]) <= 1)


def start_time(pid: int) -> int:
    """When process ``pid`` started, in clock ticks since boot; 0 when there is none or it has
    ended.
    """
    fields = stat_fields(pid)
    return 0 if has_ended(fields) else int(fields[STARTED])


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

"""Who has been at work on a container for so long that another command gives up (proc_locks(5))."""

from __future__ import annotations

from ociruntime import hostos as os

LOCKS = "/proc/locks"
KIND, PID, WHERE = 1, 4, 5


def holder(fd: int) -> str:
    """Words for the process that has locked the directory ``fd``, with its pid where that can be
    told.
    """
    status = os.fstat(fd)
    device = status.st_dev
    place = b"%02x:%02x:%d" % (os.major(device), os.minor(device), status.st_ino)
    try:
        with open(LOCKS, "rb") as file:
            lines = [line.split() for line in file]
    except OSError:
        lines = []
    for words in lines:
        # Those of waiting processes have one more word in front.
        if len(words) > WHERE and words[KIND] == b"FLOCK" and words[WHERE] == place:
            pid = words[PID]
            if pid.isdigit() and int(pid):  # else it is of another pid namespace
                return f"another command (process {int(pid)})"
    return "another command"

"""Walking a cgroup and those below it by directory fds: children, processes, removal."""

from __future__ import annotations

import errno
from time import monotonic, sleep

from ociruntime.cgroups.files import read_optional
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# The pause between two looks at something that takes a moment (seconds): doubled up to the second
# value.
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.032

DIRECTORY = c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW
# What the kernel answers for a cgroup that is gone, or is going while its file is read.
GONE = (errno.ENOENT, errno.ENODEV)
BUSY = (errno.EBUSY, errno.ENOTEMPTY)


def children(kernel: Kernel, directory: int) -> list[str]:
    """The names of the cgroups directly below an open one; [] when it is gone."""
    # kernfs counts subdirectories as links: the common case needs no listing.
    if kernel.stat(directory).links == 2:
        return []
    try:
        listing = kernel.openat(directory, ".", DIRECTORY)
    except FileNotFoundError:
        return []
    try:
        names = kernel.names(listing)
    finally:
        kernel.close(listing)
    found = []
    for name in names:
        try:
            if kernel.stat(directory, name).kind == c.S_IFDIR:
                found.append(name)
        except FileNotFoundError:
            continue
    return found


def processes(kernel: Kernel, directory: int, *, deep: bool) -> list[int]:
    """The pids in an open cgroup and, with ``deep``, in all below it.

    A process that the caller's PID namespace does not show is listed as 0 by the kernel and left
    out.
    """
    try:
        text = read_optional(kernel, directory, "cgroup.procs")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # A threaded cgroup tells its members nowhere else (cgroup-v2.rst, "Threads").
        text = read_optional(kernel, directory, "cgroup.threads")
    found = [int(line) for line in text.split() if line.isdigit() and line != "0"]
    if deep:
        for name in children(kernel, directory):
            try:
                child = kernel.openat(directory, name, DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                found += processes(kernel, child, deep=True)
            finally:
                kernel.close(child)
    return found


def remove_tree(kernel: Kernel, parent: int, name: str, end: float) -> bool:
    """Remove the cgroup ``name`` of an open one, those below it first.

    A cgroup stays busy until its last process is reaped, so it is tried until the monotonic time
    ``end`` (seconds). False when one is busy then; True as well when there is no such cgroup.
    Raises ``OSError`` for anything else.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            kernel.unlinkat(parent, name, c.AT_REMOVEDIR)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in BUSY:
                raise
        else:
            return True
        try:
            here = kernel.openat(parent, name, DIRECTORY)
        except FileNotFoundError:
            return True
        try:
            below = children(kernel, here)
            if not all(remove_tree(kernel, here, child, end) for child in below):
                return False
        finally:
            kernel.close(here)
        if not below:
            if monotonic() >= end:
                return False
            sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)


def wait_for_line(kernel: Kernel, directory: int, file: str, wanted: str, seconds: float) -> bool:
    """Look at ``file`` of an open cgroup until one of its lines is ``wanted``; False after
    ``seconds``.
    """
    end = monotonic() + seconds
    pause = FIRST_PAUSE
    while wanted not in read_optional(kernel, directory, file).split("\n"):
        if monotonic() >= end:
            return False
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    return True

"""Walking a cgroup and those below it by directory fds: children, processes, removal.

A container that may write to its cgroups can nest thousands of them, so the walks go down and up
with one fd, and do not recurse: what cannot be walked could be neither killed nor deleted.
"""

from __future__ import annotations

import errno
from time import monotonic, sleep

from ociruntime.cgroups.files import read_optional
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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


def members(kernel: Kernel, directory: int) -> list[int]:
    """The pids in an open cgroup itself, as ``processes`` has them."""
    try:
        text = read_optional(kernel, directory, "cgroup.procs")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        # A threaded cgroup tells its members nowhere else (cgroup-v2.rst, "Threads").
        text = read_optional(kernel, directory, "cgroup.threads")
    return [int(line) for line in text.split() if line.isdigit() and line != "0"]


def _enter(kernel: Kernel, here: int, name: str) -> int:
    """Open ``name`` in ``here`` and close that; raises ``FileNotFoundError`` without closing it."""
    there = kernel.openat(here, name, DIRECTORY)
    kernel.close(here)
    return there


def walk(kernel: Kernel, directory: int) -> Iterator[int]:
    """Every cgroup below an open one, those above first, open until the next is asked for."""
    waiting = [children(kernel, directory)]  # from the top to where we are: still to be visited
    if not waiting[0]:
        return
    here = kernel.openat(directory, ".", DIRECTORY)
    try:
        while True:
            if waiting[-1]:
                try:
                    here = _enter(kernel, here, waiting[-1].pop())
                except FileNotFoundError:
                    continue
                yield here
                waiting.append(children(kernel, here))
            else:
                waiting.pop()
                if not waiting:
                    return
                # A cgroup stays below the same parent all its life.
                here = _enter(kernel, here, "..")
    finally:
        kernel.close(here)


def processes(kernel: Kernel, directory: int) -> list[int]:
    """The pids in an open cgroup and in all below it.

    A process that the caller's PID namespace does not show is listed as 0 by the kernel and left
    out.
    """
    found = members(kernel, directory)
    for here in walk(kernel, directory):
        found += members(kernel, here)
    return found


def removed(kernel: Kernel, parent: int, name: str) -> bool:
    """Remove one cgroup; False when it is busy or has others below it, True as well when there is
    none.
    """
    try:
        kernel.unlinkat(parent, name, c.AT_REMOVEDIR)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in BUSY:
            return False
        if error.errno == errno.EROFS and not _exists(kernel, parent, name):
            return True  # the kernel looks at the mount first
        raise
    return True


def _exists(kernel: Kernel, parent: int, name: str) -> bool:
    try:
        kernel.stat(parent, name)
    except FileNotFoundError:
        return False
    return True


def remove_tree(kernel: Kernel, parent: int, name: str, end: float) -> bool:
    """Remove the cgroup ``name`` of an open one, those below it first.

    A cgroup stays busy until its last process is reaped, so it is tried until the monotonic time
    ``end`` (seconds). False when one is busy then; True as well when there is no such cgroup.
    Raises ``OSError`` for anything else.
    """
    if removed(kernel, parent, name):
        return True
    pause = FIRST_PAUSE
    waiting = [[name]]  # from the top to where we are: the names that are still to be removed
    here = kernel.openat(parent, ".", DIRECTORY)
    try:
        while True:
            try:
                here = _enter(kernel, here, waiting[-1][-1])
            except FileNotFoundError:
                pass
            else:
                busy = [name for name in children(kernel, here) if not removed(kernel, here, name)]
                if busy:
                    waiting.append(busy)
                    continue
                here = _enter(kernel, here, "..")
            while removed(kernel, here, waiting[-1][-1]):
                waiting[-1].pop()
                if waiting[-1]:
                    break
                waiting.pop()
                if not waiting:
                    return True
                here = _enter(kernel, here, "..")
            else:
                if monotonic() >= end:
                    return False
                sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
    finally:
        kernel.close(here)


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

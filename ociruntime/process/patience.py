"""How long to wait for a process that somebody else can hold up.

What enters a container can be stopped (SIGSTOP), traced or frozen by whoever has the right to: a
process that shares its pid namespace, a tool on the host. There is no limit to how long honest work
takes (a hook, a tree to be copied), so what ends a wait is not time alone: it is a process that
cannot run, looked at again and again, for ``HELD_SECONDS`` in a row.

Nothing here costs anything while answers come: the socket has a time limit of its own
(SO_RCVTIMEO), and only when that is over somebody looks.
"""

from __future__ import annotations

import time
from _socket import SO_RCVTIMEO, SOL_SOCKET
from _struct import pack

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.pids import STATE, has_ended, stat_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

# How long a process may be held up, and how often it is looked at meanwhile.
HELD_SECONDS = 10.0
# Bytes of a list of children that are read.
MOST = 4096
LOOK_SECONDS = 1.0

ENDED, STOPPED, TRACED = "ended", "stopped by a signal", "stopped by a tracer"
CURES = {
    STOPPED: "something in the container or on the host sent it SIGSTOP; let it go on with SIGCONT",
    TRACED: "let the tracer go on, or end it",
}
LETTERS = {b"T": STOPPED, b"t": TRACED}
FROZEN_CURE = "thaw that cgroup"


class HeldError(OciError):
    """A process that we wait for cannot run, or nobody needs it any more."""


def set_look(channel: socket) -> None:
    """From now on receiving raises ``BlockingIOError`` when nothing came for ``LOOK_SECONDS``."""
    seconds = int(LOOK_SECONDS)
    micros = int((LOOK_SECONDS - seconds) * 1_000_000)
    channel.setsockopt(SOL_SOCKET, SO_RCVTIMEO, pack("@ll", seconds, micros))


class Patience:
    """The wait for one process; ``pid`` is as we see it, ``what`` names it in the error.

    ``frozen_too`` is false where the caller knows that the process is frozen, and wants to wait.
    ``children_too``: it waits for its children, hooks that it has executed. ``over`` tells why
    nobody needs it any more, "" while somebody does: it may hang in a file system that a container
    serves.
    """

    __slots__ = ("_children_too", "_frozen_too", "_over", "_pid", "_since", "_what")

    def __init__(
        self,
        pid: int,
        what: str,
        *,
        frozen_too: bool = True,
        children_too: bool = False,
        over: Callable[[], str] = lambda: "",
    ) -> None:
        self._pid = pid
        self._what = what
        self._since = 0.0
        self._frozen_too = frozen_too
        self._children_too = children_too
        self._over = over

    def look(self) -> bool:
        """Whether the process can still answer; raises ``HeldError`` when it could not run for too
        long, or when nobody needs it any more.
        """
        if over := self._over():
            raise HeldError(over)
        why = why_held(self._pid)
        now = time.monotonic()
        if why == ENDED:
            return False
        what = f"{self._what} (process {self._pid})"
        if not why and self._children_too:
            why, what = self._held_child()
        if not why or (why not in CURES and not self._frozen_too):
            self._since = 0.0
        elif not self._since:
            self._since = now
        elif now - self._since >= HELD_SECONDS:
            raise HeldError(
                f"{what} is {why} and did not go on within {HELD_SECONDS:g} s; "
                f"{CURES.get(why, FROZEN_CURE)}"
            )
        return True

    def _held_child(self) -> tuple[str, str]:
        for child in children_of(self._pid):
            why = why_held(child)
            if why and why != ENDED:
                return why, f"process {child}, which {self._what} has executed and waits for,"
        return "", ""


def why_held(pid: int) -> str:
    """What keeps process ``pid`` from running: "" nothing, ``ENDED`` that it has ended, else words
    for a person.
    """
    fields = stat_fields(pid)
    if has_ended(fields):
        return ENDED
    return LETTERS.get(fields[STATE], "") or _frozen(pid)


def _frozen(pid: int) -> str:
    """``frozen (cgroup ...)`` for a process in a frozen cgroup, else ""."""
    from ociruntime.cgroups.detect import parse
    from ociruntime.cgroups.files import read_path
    from ociruntime.cgroups.frozen import is_frozen
    from ociruntime.kernel.kernel import Kernel

    kernel = Kernel()
    try:
        layout = parse(
            read_path(kernel, "/proc/self/mountinfo"), read_path(kernel, f"/proc/{pid}/cgroup")
        )
    except OSError:
        return ""
    for hierarchy in layout.hierarchies:
        path = hierarchy.own_path()
        if path is None or (hierarchy.key and "freezer" not in hierarchy.controllers):
            continue
        directory = (hierarchy.mountpoint + path).rstrip("/")
        try:
            if is_frozen(kernel, {hierarchy.key: directory}):
                return f"frozen (cgroup {directory})"
        except OSError:
            continue
    return ""


def children_of(pid: int) -> list[int]:
    """The children of process ``pid`` (proc_pid_task(5)); [] on kernels without
    CONFIG_PROC_CHILDREN.
    """
    try:
        fd = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, MOST)
        finally:
            os.close(fd)
    except OSError:
        return []
    # Each number ends with a blank; of more than we read, the last may not be whole.
    return [int(word) for word in text[: text.rfind(b" ") + 1].split()]


def let_go(pid: int) -> None:
    """Take a process that was killed, and its children, out of a frozen cgroup of v1, which would
    keep it: into ours, where it dies at once.
    """
    from ociruntime.cgroups.detect import detect
    from ociruntime.kernel.kernel import Kernel

    freezer = detect(Kernel()).find("freezer")
    path = freezer.own_path() if freezer is not None else None
    if freezer is None or path is None:
        return
    try:
        fd = os.open(f"{freezer.mountpoint}{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # who waits finds out
    try:
        # The first process of a pid namespace dies behind the others in there.
        for each in (*children_of(pid), pid):
            try:
                os.write(fd, str(each).encode())
            except OSError:
                continue  # it has ended, or is not ours to move
    finally:
        os.close(fd)

"""Out of memory: the kernel tells of every process that it kills in a container's cgroup.

cgroup v2: memory.events is pollable, and counts them (Documentation/admin-guide/cgroup-v2.rst).
v1: an eventfd that is registered for memory.oom_control (cgroup-v1/memory.rst); it fires before the
kernel has chosen whom it kills, several times for one kill, and for the removal of the cgroup, too,
so the count decides here as well.
"""

from __future__ import annotations

from select import EPOLLIN, EPOLLPRI

from ociruntime import hostos as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.cgroups.path import Placement
    from ociruntime.resident.loop import Loop


# After an eventfd has fired the kernel kills, and counts it (seconds).
KILL_SECONDS = (0.01, 0.1, 1.0)


class Watch:
    """Calls ``oom`` when the kernel has killed, until ``close``."""

    __slots__ = ("_count", "_events", "_gone", "_loop", "_oom", "_signal")

    def __init__(self, loop: Loop, events: int, oom: Callable[[], None], signal: int) -> None:
        self._loop = loop
        self._events = events
        self._oom = oom
        self._signal = signal  # the eventfd, -1 where the file itself is polled
        self._gone = False
        self._count = self._read()
        if signal >= 0:
            loop.watch(signal, EPOLLIN, self._ready)
        else:
            loop.watch(events, EPOLLPRI, self._ready)

    def close(self) -> None:
        """Watch no more; a second call has no effect."""
        for fd in (self._signal, self._events):
            if fd >= 0:
                self._loop.forget(fd)
                os.close(fd)
        self._events = self._signal = -1

    def check(self) -> None:
        """Look now: a container's end may arrive before the kernel's message does."""
        if self._events >= 0:
            count = self._read()
            if count > self._count:
                self._count = count
                self._oom()

    def _ready(self, _ready: int) -> None:
        if self._signal >= 0:
            os.read(self._signal, 8)
            self._loop.spawn(self._wait_for_kill())
        else:
            self.check()
        if self._gone:
            # Ready for ever: systemd removes a scope's cgroup with its last process, whose end may
            # be what the file had to tell.
            self.close()

    async def _wait_for_kill(self) -> None:
        before = self._count
        self.check()
        for seconds in KILL_SECONDS:
            if self._count != before or self._events < 0:
                return
            await self._loop.sleep(seconds)
            self.check()

    def _read(self) -> int:
        try:
            text = os.pread(self._events, 4096, 0)
        except OSError:
            self._gone = True
            return 0
        words = text.split()
        return int(words[words.index(b"oom_kill") + 1]) if b"oom_kill" in words else 0


def watch(loop: Loop, placement: Placement, oom: Callable[[], None]) -> Watch | None:
    """Watch the cgroup; None where it has no memory controller."""
    place = placement.find("memory")
    try:
        if place is not None:
            return _watch_v1(loop, place.directory, oom)
        directory = placement.paths.get("")
        if directory is None:
            return None
        events = os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return Watch(loop, events, oom, -1)


def _watch_v1(loop: Loop, directory: str, oom: Callable[[], None]) -> Watch:
    events = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
    signal = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{directory}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(control, f"{signal} {events}".encode())
        finally:
            os.close(control)
    except OSError:
        os.close(signal)
        os.close(events)
        raise
    return Watch(loop, events, oom, signal)

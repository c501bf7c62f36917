"""Copies that the daemon of many pods does not make itself.

    daemon --order, source and target--> oci-copy    (native/oci-copy.c)
           <--------it is at its end----

Who touches a pipe waits for whoever is inside read(2) or write(2) of its other end, and a container
decides how long that is. oci-copy is a process for each pipe that it is stuck in. The daemon keeps
its own copies of all descriptors, so nothing depends on those processes: when they die others take
their place.
"""

from __future__ import annotations

import time
from _socket import (
    AF_UNIX,
    MSG_DONTWAIT,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socketpair,
)
from _struct import Struct
from select import EPOLLIN

from ociruntime import hostos as os
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.ocinit import open_program
from ociruntime.kernel.processes import Executable
from ociruntime.kernel.sockets import rights
from ociruntime.shim.copy import Ends, Pump, Splice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from ociruntime.resident.exits import Exits
    from ociruntime.resident.loop import Loop

PROGRAM = "oci-copy"
# struct order and struct news of oci-copy.c: number, kind or word, four bytes that mean nothing.
ORDER = Struct("=QI4x")
KINDS = {Splice.kind: 1, Pump.kind: 2}
STOP = 3
ENDED, FULL = 1, 2
# How long the next one may live before one that dies is not replaced any more (seconds).
SHORT = 1.0


class Handed(Ends):
    """A copy that oci-copy makes; like ``Splice`` and ``Pump``, one of which it becomes (``kind``)
    when there is no oci-copy.
    """

    __slots__ = ("_copier", "full", "kind", "local", "number")

    def __init__(
        self,
        copier: Copier,
        number: int,
        kind: str,
        source: int,
        target: int,
        full: Callable[[], None] | None,
    ) -> None:
        super().__init__(source, target)
        self._copier = copier
        self.number = number
        self.kind = kind
        self.full = full
        self.local: Splice | Pump | None = None

    def close(self) -> None:
        """Stop, whatever is left."""
        if self.done.done:
            return
        if self.local is not None:
            self.local.close()
            return
        self._copier.stop(self)
        self.end()

    def fall_back(self, loop: Loop) -> None:
        """Do it here."""
        if self.kind == Splice.kind:
            self.local = Splice(loop, self._source, self._target)
        else:
            self.local = Pump(loop, self._source, self._target, self.full)
        self.local.done.when_done(self.done.set)


class Copier:
    """oci-copy, once there is something to copy; ``warn`` is told when it fails."""

    __slots__ = ("_born", "_copies", "_end", "_exits", "_loop", "_number", "_warn")

    def __init__(self, loop: Loop, exits: Exits, warn: Callable[[str], None]) -> None:
        self._loop = loop
        self._exits = exits
        self._warn = warn
        self._end: socket | None = None
        self._born = 0.0
        self._number = 0
        self._copies: dict[int, Handed] = {}

    def copy(
        self, kind: str, source: int, target: int, full: Callable[[], None] | None = None
    ) -> Handed:
        """A copy of the ``kind`` of ``Splice`` or ``Pump``, with what they are given."""
        self._number += 1
        copy = Handed(self, self._number, kind, source, target, full)
        self._copies[copy.number] = copy
        if self._end is None:
            self._start()
        else:
            self._hand_over(copy)
        return copy

    def stop(self, copy: Handed) -> None:
        """It is not wanted any more."""
        del self._copies[copy.number]
        self._send(ORDER.pack(copy.number, STOP), ())

    def _start(self) -> None:
        """Start it, and give it all that there is to copy."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        kernel = Kernel()
        program = null = -1
        self._exits.hold()
        try:
            program = open_program(kernel, PROGRAM)
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            streams = theirs.fileno(), null, null
            what = Executable(program, [b"ociruntime-copy"], [], [program], streams)
            pid, pidfd = kernel.start_program(what)
            os.close(pidfd)
            self._exits.expect(pid, lambda _status, _time: self._lost(ours))
        except OSError as error:
            ours.close()
            self._give_up(str(error.strerror))
            return
        finally:
            self._exits.release()
            theirs.close()
            for fd in (program, null):
                if fd >= 0:
                    os.close(fd)
        self._end = ours
        self._born = time.monotonic()
        self._loop.watch(ours.fileno(), EPOLLIN, self._arrived)
        for copy in list(self._copies.values()):
            self._hand_over(copy)

    def _hand_over(self, copy: Handed) -> None:
        fds = tuple(copy.ends().values())
        if not self._send(ORDER.pack(copy.number, KINDS[copy.kind]), fds):
            self._fall_back(copy)

    def _send(self, data: bytes, fds: tuple[int, ...]) -> bool:
        if self._end is None:
            return False
        try:
            self._end.sendmsg([data], rights(fds), MSG_DONTWAIT)
        except OSError:  # it dies, which we are told of, or does not listen
            return False
        return True

    def _read(self) -> bool:
        """Take one of its messages; whether there was one. At the end of them it is dead, which the
        kernel is about to tell.
        """
        if self._end is None:
            return False
        try:
            data = self._end.recv(ORDER.size, MSG_DONTWAIT)
        except OSError:
            return False
        if not data:
            return False
        number, word = ORDER.unpack(data)
        if word == FULL:
            copy = self._copies.get(number)
            if copy is not None and copy.full is not None:
                copy.full()
        else:
            copy = self._copies.pop(number, None)
            if copy is not None:
                copy.end()
        return True

    def _arrived(self, _ready: int) -> None:
        self._read()

    def _lost(self, end: socket) -> None:
        """It has died: what it has told counts, and another one goes on with the rest."""
        while self._read():
            pass
        self._loop.forget(end.fileno())
        end.close()
        self._end = None
        if time.monotonic() - self._born < SHORT:
            self._give_up("it does not stay alive")
        elif self._copies:
            self._start()

    def _give_up(self, why: str) -> None:
        self._warn(f"shim: {PROGRAM}: {why}; one pod may hold up the output of others")
        for copy in list(self._copies.values()):
            self._fall_back(copy)

    def _fall_back(self, copy: Handed) -> None:
        del self._copies[copy.number]
        copy.fall_back(self._loop)

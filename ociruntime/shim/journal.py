"""What a daemon would leave to its successor: records in a memfd, descriptors with the keeper.

    daemon --"keep" names, descriptors--> keeper     (keeper.py: it outlives the daemon)
           --records---------------------> memfd     (the keeper has it, too)

A record is (key, value), the last one of a key counts, and None removes it. It is there as soon as
it is written: the memory is the memfd's, not the daemon's. What is written before something is done
is known whatever happens then; what a successor can do twice is written behind.
"""

from __future__ import annotations

import marshal
import time
from _socket import MSG_DONTWAIT, SO_PEERCRED, SOL_SOCKET, socket
from _struct import Struct, unpack
from select import POLLOUT, poll

from ociruntime import hostos as os
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.sockets import rights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

LENGTH = Struct("=I")
# Of marshal's format: what every Python from 3.4 on reads.
FORMAT = 4
# The memfd is written anew when it is larger than this, and than four times what counts in it.
SMALL = 1 << 20
# Descriptors in one message (SCM_MAX_FD is 253).
AT_ONCE = 200
PATIENCE = 1000  # milliseconds that the keeper may take to read
RECORDS = "records"
LOST = "shim: the keeper of this daemon is lost; if this one ends, its containers do"
KEEP, RELEASE, TOLD, READY, END = "keep", "release", "told", "ready", "end"


class NoJournal:
    """That of a daemon without a successor: nothing is written."""

    __slots__ = ()

    lasting = False

    def number(self) -> int:
        """One that no other thing of this daemon, or of its predecessors, has."""
        return 0

    def put(self, key: str, value: Any) -> None:
        """Remember it: None, booleans, integers, strings, bytes, tuples, lists and dicts."""

    def keep(self, descriptors: Mapping[str, int]) -> None:
        """Let the keeper have these, too, by their names."""

    def release(self, prefix: str) -> None:
        """Let the keeper close all whose name begins with ``prefix``."""

    def told(self, pids: Iterable[int]) -> None:
        """Their ends, which the keeper has told, are in the records."""

    def ready(self) -> None:
        """All that the predecessor had is here."""

    def end(self) -> None:
        """There will be no successor."""


class Journal(NoJournal):
    """Records in the memfd ``fd``, and the keeper behind ``channel``; ``warn`` gets what is lost.

    A keeper that has died, or takes nothing, is told nothing more: the daemon works as one that has
    no successor.
    """

    __slots__ = ("_channel", "_limit", "_number", "_size", "_warn", "fd")

    lasting = True

    def __init__(self, channel: socket, fd: int, warn: Any) -> None:
        self._channel: socket | None = channel
        self._warn = warn
        self._number = time.time_ns()
        self.fd = fd
        self._size = os.fstat(fd).st_size
        self._limit = max(SMALL, 4 * self._size)

    @classmethod
    def new(cls, channel: socket, warn: Any) -> Journal:
        """An empty one."""
        made = cls(channel, _memory(), warn)
        made.keep({RECORDS: made.fd})
        return made

    def number(self) -> int:
        self._number += 1
        return self._number

    def put(self, key: str, value: Any) -> None:
        if self._channel is None:
            return
        data = marshal.dumps((key, value), FORMAT)
        self._size += os.write(self.fd, LENGTH.pack(len(data)) + data)
        if self._size > self._limit:
            self._write_anew()

    def _write_anew(self) -> None:
        """What counts goes into another memfd, which takes the place of this one at once."""
        old, self.fd, self._size = self.fd, _memory(), 0
        self._limit = 1 << 62
        for key, value in read(old).items():
            self.put(key, value)
        self._limit = max(SMALL, 4 * self._size)
        self.keep({RECORDS: self.fd})
        os.close(old)

    def keep(self, descriptors: Mapping[str, int]) -> None:
        names = list(descriptors)
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            self._send((KEEP, some), [descriptors[name] for name in some])

    def release(self, prefix: str) -> None:
        self._send((RELEASE, prefix))

    def told(self, pids: Iterable[int]) -> None:
        self._send((TOLD, list(pids)))

    def ready(self) -> None:
        self._send((READY, None))

    def end(self) -> None:
        self._send((END, None))

    def _send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        if self._channel is None:
            return
        ancillary = rights(descriptors)
        data = marshal.dumps(message, FORMAT)
        while True:
            try:
                self._channel.sendmsg([data], ancillary, MSG_DONTWAIT)
            except BlockingIOError:
                poller = poll()
                poller.register(self._channel.fileno(), POLLOUT)
                if poller.poll(PATIENCE):
                    continue
                why = "does not read"
                _end(self._channel)
            except OSError as error:
                why = str(error.strerror)
            else:
                return
            self._channel = None
            self._warn(f"{LOST} ({why})")
            return


def _end(channel: socket) -> None:
    """End a keeper that is stuck: what it has would never close, and a successor that it starts
    some day would have old records.
    """
    pid, _, _ = unpack("=iii", channel.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
    if pid != os.getppid():
        return
    kernel = Kernel()
    try:
        pidfd = kernel.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poller = poll()
        poller.register(channel.fileno(), 0)
        if not poller.poll(0):  # no POLLHUP: it lives, so the number is still its
            kernel.pidfd_send_signal(pidfd, SIGKILL)
    finally:
        os.close(pidfd)


def _memory() -> int:
    return os.memfd_create("ociruntime-shim", os.MFD_CLOEXEC)


def read(fd: int) -> dict[str, Any]:
    """What counts of the records in a memfd. The last one may not be whole: it never happened."""
    size = os.fstat(fd).st_size
    data = os.pread(fd, size, 0)
    found: dict[str, Any] = {}
    at = 0
    while at + LENGTH.size <= len(data):
        (length,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        if at + length > len(data):
            break
        key, value = marshal.loads(data[at : at + length])  # noqa: S302 - our own memory
        at += length
        if value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found

"""The zygote itself: receives requests, forks a child for each, reaps, and tells of exits.

It decodes nothing: a request goes to a child as it came, and its bytes are wiped here as soon as
the child has its copy, so that no later child has it too.

A child that makes a process in a container (create, run, exec) is fresh, reports once and ends.
Light requests (start, state, kill, delete) bring no secret and enter nothing: a child that served
one without failing serves others, which saves the fork and the copies of the pages it writes to.

Whose exit is whose: a container's init becomes our child when the process that made it has ended,
which is after that process reported the pid. So whoever is reaped was reported before, if it was at
all: reports are read between waitpid(2) and telling of the exits.
"""

from __future__ import annotations

import _signal
import errno
import gc
import os
import sys
import time
from _socket import (
    AF_UNIX,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)
from select import POLLIN, POLLOUT, poll

from ociruntime import __version__
from ociruntime.errors import OciError
from ociruntime.jsontext import dumps
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.host import read_host
from ociruntime.zygote import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

    Command = Callable[[list[str]], int]

# What operations import when they need it: loaded once here instead of in each child.
WARM = (
    "ociruntime.zygote.operations",
    "ociruntime.cgroups.v1.group",
    "ociruntime.cgroups.v2.group",
    "ociruntime.cgroups.v1.devices",
    "ociruntime.cgroups.v1.resources",
    "ociruntime.cgroups.v2.resources",
    "ociruntime.lifecycle.delete",
    "ociruntime.steps.cgroup_mount",
    "ociruntime.steps.seccomp",
)
PR_SET_NAME = 15
# Children that wait for light requests; more than a program sends at once end again.
MOST_IDLE = 2


class Child:
    """A forked child: the request it works on (0: none), and our end of its socket (None when it is
    not going to say anything more).
    """

    __slots__ = ("lasting", "number", "pid", "socket")

    def __init__(self, number: int, pid: int, end: socket, *, lasting: bool) -> None:
        self.number = number
        self.pid = pid
        self.socket: socket | None = end
        self.lasting = lasting


class ZygoteServer:
    """Serves the program at the other end of ``control`` until it closes it."""

    __slots__ = (
        "_buffer",
        "_by_fd",
        "_by_pid",
        "_command",
        "_control",
        "_idle",
        "_made",
        "_open",
        "_poller",
        "_queue",
        "_wake",
        "_wake_write",
    )

    def __init__(self, control: socket, command: Command) -> None:
        self._control = control
        self._command = command
        self._open = True
        self._buffer = bytearray(wire.INLINE_LIMIT + wire.HEADER.size)
        self._by_pid: dict[int, Child] = {}
        self._by_fd: dict[int, Child] = {}
        self._idle: list[Child] = []
        # pid -> number of the request that made the process
        self._made: dict[int, int] = {}
        self._queue: list[tuple[bytes, list[int]]] = []
        self._wake, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poller = poll()

    def serve(self) -> None:
        """Work until the program is gone and every request is done."""
        control = self._control.fileno()
        os.set_blocking(control, False)
        _signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, _ignore)
        self._poller.register(control, POLLIN)
        self._poller.register(self._wake, POLLIN)
        hello = dumps({"version": __version__}).encode()
        self._tell(wire.HEADER.pack(wire.HELLO, 0, 0, os.getpid(), 0, 0) + hello, [])
        while self._open or self._by_pid:
            if not self._open:
                self._dismiss(0)
            for fd, event in self._poller.poll():
                if fd == self._wake:
                    self._reap()
                elif fd != control:
                    self._read_report(self._by_fd.get(fd))
                elif event & POLLOUT:
                    self._flush()
                elif self._open:
                    self._serve_request()

    def _serve_request(self) -> None:
        try:
            size, ancillary, flags, _ = self._control.recvmsg_into(
                [self._buffer], wire.FDS_SPACE, MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except ConnectionResetError:
            size, ancillary, flags = 0, [], 0
        fds = wire.descriptors(ancillary)
        if size < wire.HEADER.size:
            self._open = False
            self._poller.unregister(self._control)
            return
        try:
            if flags & MSG_CTRUNC:
                # What does not fit below the limit of open files, the kernel has thrown away.
                self._refuse("the zygote has too many open descriptors", "of open files")
            else:
                self._hand_on(size, fds)
        finally:
            # Every later child has a copy of this memory.
            self._buffer[:size] = bytes(size)
            for fd in fds:
                os.close(fd)

    def _hand_on(self, size: int, fds: list[int]) -> None:
        """Give the request to a child: to one that has served before if its kind allows that."""
        kind, _, number = wire.HEADER.unpack_from(self._buffer)[:3]
        lasting = kind == wire.LIGHT
        while lasting and self._idle:
            child = self._idle.pop()
            assert child.socket is not None
            try:
                wire.send_raw(child.socket, memoryview(self._buffer)[:size], fds)
            except OSError:
                continue  # it was killed; reaping will forget it
            child.number = number
            return
        try:
            ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        except OSError as error:
            self._refuse(f"the zygote cannot open a socket: {error.strerror}", "of open files")
            return
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._refuse(f"the zygote cannot fork: {error.strerror}", "of processes")
            return
        if pid == 0:
            _become_child(theirs, bytes(self._buffer[:size]), fds, self._command)
        theirs.close()
        child = Child(number, pid, ours, lasting=lasting)
        self._by_pid[pid] = self._by_fd[ours.fileno()] = child
        self._poller.register(ours, POLLIN)

    def _read_report(self, child: Child | None) -> None:
        """Pass the child's report on; at its end without one, its exit will tell."""
        if child is None or child.socket is None:
            return
        try:
            packet = wire.receive(child.socket, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = None
        if packet is None:
            self._hang_up(child)
            return
        # It has reported: nothing is owed for its exit any more.
        child.number = 0
        if packet.pid:
            self._made[packet.pid] = packet.number
        self._tell(packet.raw, packet.fds)
        if child.lasting and packet.kind == wire.RESULT:
            self._idle.append(child)
            self._dismiss(MOST_IDLE)
        else:
            # One that failed may be in any state: it is not used again.
            self._hang_up(child)

    def _dismiss(self, kept: int) -> None:
        """Let idle children end until ``kept`` are left."""
        while len(self._idle) > kept:
            self._hang_up(self._idle.pop(0))

    def _hang_up(self, child: Child) -> None:
        """Close the child's socket: it ends when it has nothing to do."""
        if child.socket is None:
            return
        del self._by_fd[child.socket.fileno()]
        self._poller.unregister(child.socket)
        child.socket.close()
        child.socket = None
        if child in self._idle:
            self._idle.remove(child)

    def _reap(self) -> None:
        """Wait for everything that has ended; tell of operations without a report and of
        containers.
        """
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass
        ended: list[tuple[int, int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended.append((pid, status, time.time_ns()))
        for child in list(self._by_fd.values()):
            self._read_report(child)
        for pid, status, moment in ended:
            gone = self._by_pid.pop(pid, None)
            if gone is not None:
                self._hang_up(gone)
                if gone.number:
                    self._fail(gone.number, OciError(_death(status)))
                continue
            number = self._made.pop(pid, 0)
            if number:
                self._tell(wire.HEADER.pack(wire.EXIT, 0, number, pid, status, moment), [])

    def _refuse(self, why: str, limit: str) -> None:
        """The request in the buffer cannot be served: there is too much at once."""
        number = wire.HEADER.unpack_from(self._buffer)[2]
        self._fail(number, OciError(f"{why}; ask for less at once, or raise the limit {limit}"))

    def _fail(self, number: int, error: OciError) -> None:
        body = dumps(wire.error_document(error)).encode()
        self._tell(wire.HEADER.pack(wire.FAILED, 0, number, 0, 0, 0) + body, [])

    def _tell(self, raw: bytes, fds: list[int]) -> None:
        """Send to the program without ever waiting for it; closes ``fds``."""
        self._queue.append((raw, fds))
        if len(self._queue) == 1 and not self._flush() and self._open:
            self._poller.register(self._control, POLLIN | POLLOUT)

    def _flush(self) -> bool:
        """Send what waits; False when the program must read first."""
        while self._queue:
            raw, fds = self._queue[0]
            try:
                wire.send_raw(self._control, raw, fds)
            except BlockingIOError:
                return False
            except OSError as error:
                # ETOOMANYREFS: so many descriptors are under way that the program must read first.
                if error.errno == errno.ETOOMANYREFS:
                    return False
                # The program is gone, and with it whoever wanted to know.
            del self._queue[0]
            for fd in fds:
                os.close(fd)
        if self._open:
            self._poller.register(self._control, POLLIN)
        return True


def _ignore(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has it already."""


def _death(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
    return (
        f"the process that carried out the request {how} before it was done; what it has left is "
        "removed by `delete --force`"
    )


def _become_child(
    channel: socket, raw: bytes, fds: list[int], command: Command
) -> NoReturn:
    """Carry out the request in ``raw``; nothing of the zygote's loop is run again."""
    try:
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        from ociruntime.zygote.operations import work

        work(channel, wire.Packet(raw, fds), command)
    finally:
        os._exit(1)


def run_zygote(control: socket, command: Command) -> int:
    """Be a zygote for the program at the other end of ``control``, until it is gone; ``command``
    carries out a command line.

    The process must be single-threaded and run from the sealed launcher.
    """
    kernel = Kernel()
    if read_host(kernel).privileged:
        # Others must stay dumpable: /proc/PID/uid_map of a child would belong to root.
        kernel.prctl(c.PR_SET_DUMPABLE, 0)
    kernel.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(PR_SET_NAME, b"oci-zygote")
    os.chdir("/")
    for name in WARM:
        __import__(name)
    # Nothing that is there now is ever collected: a collection would write to memory that is shared
    # with all children.
    gc.disable()
    gc.freeze()
    ZygoteServer(control, command).serve()
    return 0


def main(control_fd: int, command: Command) -> int:
    """Entry of a zygote that was executed: ``control_fd`` is its socket, ``command`` as
    ``run_zygote``'s.
    """
    os.closerange(control_fd + 1, 0x7FFFFFFF)
    if os.getpid() != os.getsid(0):
        os.setsid()
    sys.stdin = sys.stdout = sys.stderr = None
    return run_zygote(socket(AF_UNIX, SOCK_SEQPACKET, 0, control_fd), command)

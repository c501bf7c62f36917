"""The zygote itself: receives requests, forks a child for each, reaps, and tells of exits.

It decodes nothing: a request goes to the child as it came, and its bytes are wiped here as soon as
the child has its copy, so that no later child has it too. A child reports once and ends.

Whose exit is whose: a container's init becomes our child when the process that made it has ended,
which is after that process reported the pid. So whoever is reaped was reported before, if it was at
all: reports are read between waitid(2) and telling of the exits.
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
    from types import FrameType
    from typing import NoReturn

# What operations import when they need it: loaded once here instead of in each child.
WARM = (
    "ociruntime.zygote.operations",
    "ociruntime.cgroups.v1",
    "ociruntime.cgroups.v2",
    "ociruntime.cgroups.devices",
    "ociruntime.cgroups.resources_v1",
    "ociruntime.cgroups.resources_v2",
    "ociruntime.lifecycle.delete",
    "ociruntime.steps.cgroup_mount",
    "ociruntime.steps.seccomp",
)
PR_SET_NAME = 15


class Operation:
    """One request at work: its number, its child, and where the child reports (None once it
    has).
    """

    __slots__ = ("number", "pid", "report")

    def __init__(self, number: int, pid: int, report: socket) -> None:
        self.number = number
        self.pid = pid
        self.report: socket | None = report


class Server:
    """Serves the program at the other end of ``control`` until it closes it."""

    __slots__ = (
        "_buffer",
        "_by_fd",
        "_by_pid",
        "_control",
        "_made",
        "_open",
        "_poller",
        "_queue",
        "_wake",
        "_wake_write",
    )

    def __init__(self, control: socket) -> None:
        self._control = control
        self._open = True
        self._buffer = bytearray(wire.INLINE_LIMIT + wire.HEADER.size)
        self._by_pid: dict[int, Operation] = {}
        self._by_fd: dict[int, Operation] = {}
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
            size, ancillary, _, _ = self._control.recvmsg_into(
                [self._buffer], wire.FDS_SPACE, MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except ConnectionResetError:
            size, ancillary = 0, []
        fds = wire.descriptors(ancillary)
        if size < wire.HEADER.size:
            self._open = False
            self._poller.unregister(self._control)
            return
        try:
            self._fork(size, fds)
        finally:
            # Every later child has a copy of this memory.
            self._buffer[:size] = bytes(size)
            for fd in fds:
                os.close(fd)

    def _fork(self, size: int, fds: list[int]) -> None:
        number = wire.HEADER.unpack_from(self._buffer)[2]
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            why = f"the zygote cannot fork: {error.strerror}; raise the limit of processes"
            self._fail(number, OciError(why))
            return
        if pid == 0:
            _become_child(theirs, bytes(self._buffer[:size]), fds)
        theirs.close()
        operation = Operation(number, pid, ours)
        self._by_pid[pid] = self._by_fd[ours.fileno()] = operation
        self._poller.register(ours, POLLIN)

    def _read_report(self, operation: Operation | None) -> None:
        """Pass the child's report on; at its end without one, its exit will tell."""
        if operation is None or operation.report is None:
            return
        try:
            packet = wire.receive(operation.report, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = None
        report = operation.report
        del self._by_fd[report.fileno()]
        self._poller.unregister(report)
        report.close()
        operation.report = None
        if packet is None:
            return
        # It has reported: nothing is owed for its exit any more.
        operation.number = 0
        if packet.pid:
            self._made[packet.pid] = packet.number
        self._tell(packet.raw, packet.fds)

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
        for operation in list(self._by_fd.values()):
            self._read_report(operation)
        for pid, status, moment in ended:
            operation_ended = self._by_pid.pop(pid, None)
            if operation_ended is not None:
                if operation_ended.number:
                    self._fail(operation_ended.number, OciError(_death(status)))
                continue
            number = self._made.pop(pid, 0)
            if number:
                self._tell(wire.HEADER.pack(wire.EXIT, 0, number, pid, status, moment), [])

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


def _become_child(report: socket, raw: bytes, fds: list[int]) -> NoReturn:
    """Carry out the request in ``raw`` and end; nothing of the zygote's loop is run again."""
    try:
        _signal.set_wakeup_fd(-1)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        from ociruntime.zygote.operations import work

        work(report, wire.Packet(raw, fds))
    finally:
        os._exit(1)


def run_zygote(control: socket) -> int:
    """Be a zygote for the program at the other end of ``control``, until it is gone.

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
    Server(control).serve()
    return 0


def main(control_fd: int) -> int:
    """Entry of a zygote that was executed: ``control_fd`` is its socket."""
    os.closerange(control_fd + 1, 0x7FFFFFFF)
    if os.getpid() != os.getsid(0):
        os.setsid()
    sys.stdin = sys.stdout = sys.stderr = None
    return run_zygote(socket(AF_UNIX, SOCK_SEQPACKET, 0, control_fd))

"""The zygote itself: receives requests, hands them to its children, reaps, and tells of exits.

It decodes nothing: a request goes to a child as it came, and its bytes are wiped here as soon as
the child has its copy, so that no child forked later has it too.

A child that has served a request without failing serves others, which saves the fork and the
copies of the pages it writes to: nothing of it ever gets into a container. Some requests (a command
line, exec) have a child to themselves, which reports once and ends.

Whose exit is whose: a container's first process becomes our child before it is reported, at once
(``zygote.adopted``) or when the child that made it has ended. So one whom a child that is at work
may still report is not waited for yet: meanwhile its number is nobody else's.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from _socket import AF_UNIX, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, SOCK_SEQPACKET, socket
from select import EPOLLIN, EPOLLOUT

from ociruntime import __version__
from ociruntime.errors import OciError
from ociruntime.jsontext import dumps
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.plan.host import read_host
from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Loop
from ociruntime.resident.worker import fork_worker
from ociruntime.zygote import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
# Children that wait for requests; more than a program sends at once end again.
MOST_IDLE = 2
# After so many requests a child ends, and with it whatever they have left in its memory.
MOST_SERVED = 200


class Child:
    """A forked child: the request it works on (0: none), which of all that were ever handed on that
    is, how many it has had before, and our end of its socket (None when it is not going to say
    anything more).
    """

    __slots__ = ("lasting", "number", "served", "socket", "turn")

    def __init__(self, number: int, turn: int, end: socket, *, lasting: bool) -> None:
        self.number = number
        self.turn = turn
        self.served = 0
        self.socket: socket | None = end
        self.lasting = lasting


class ReportedExits(Exits):
    """Ends of processes of which nobody at work may still tell.

    ``read`` takes all reports; ``newest`` says which request, of all that were ever handed on, the
    last was; ``at_work`` whether that one or an earlier one still goes on.
    """

    __slots__ = ("_at_work", "_newest", "_read", "_unknown")

    def __init__(
        self, read: Callable[[], None], newest: Callable[[], int], at_work: Callable[[int], bool]
    ) -> None:
        super().__init__()
        self._read = read
        self._newest = newest
        self._at_work = at_work
        # pid of one that nobody has announced -> the last request that may have made it
        self._unknown: dict[int, int] = {}

    def reap(self) -> None:
        self._read()
        self._collect()
        self.reconsider()

    def reconsider(self) -> None:
        """Somebody is done: whoever was left alone on his account may be waited for."""
        while self._unknown and self._collect():
            pass

    def _collect(self) -> int:
        """Wait for all that have ended and may be waited for: how many."""
        count = 0
        while pid := _ended_child(os.P_ALL, 0):
            if not self._may_reap(pid):
                break
            count += 1
            self._wait_for(pid)
        else:
            return count
        # The kernel names that one again and again: ask for each of the others.
        for pid in [*self._expected, *self._unknown]:
            if _ended_child(os.P_PID, pid) and self._may_reap(pid):
                count += 1
                self._wait_for(pid)
        return count

    def _wait_for(self, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        self.record(pid, os.waitstatus_to_exitcode(status))

    def _may_reap(self, pid: int) -> bool:
        """Whether all who could report ``pid``, which has ended, have done so or never will."""
        if pid in self._expected:
            self._unknown.pop(pid, None)
            return True
        if self._at_work(self._unknown.setdefault(pid, self._newest())):
            return False
        del self._unknown[pid]
        return True


class ZygoteServer:
    """Serves the program at the other end of ``control`` until it closes it."""

    __slots__ = (
        "_buffer",
        "_children",
        "_command",
        "_control",
        "_exits",
        "_idle",
        "_loop",
        "_open",
        "_queue",
        "_turns",
    )

    def __init__(self, control: socket, command: Command) -> None:
        self._control = control
        self._command = command
        self._open = True
        self._buffer = bytearray(wire.INLINE_LIMIT + wire.HEADER.size)
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._queue: list[tuple[bytes, list[int]]] = []
        self._loop = Loop()
        self._turns = 0
        self._exits = ReportedExits(self._read_reports, lambda: self._turns, self._is_at_work)

    def serve(self) -> None:
        """Work until the program is gone and every request is done."""
        os.set_blocking(self._control.fileno(), False)
        self._exits.start(self._loop)
        self._loop.watch(self._control.fileno(), EPOLLIN, self._serve_program)
        hello = dumps({"version": __version__}).encode()
        self._tell(wire.HEADER.pack(wire.HELLO, 0, 0, os.getpid(), 0, 0) + hello, [])
        self._loop.run()

    def _serve_program(self, ready: int) -> None:
        if ready & EPOLLOUT:
            self._flush()
        else:
            self._serve_request()

    def _end(self) -> None:
        """The program is gone: nothing more is asked for."""
        self._open = False
        self._loop.forget(self._control.fileno())
        self._dismiss(0)
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if not (self._open or self._children):
            self._loop.stop()

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
            self._end()
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
        lasting = kind == wire.LASTING
        self._turns += 1
        while lasting and self._idle:
            child = self._idle.pop()
            assert child.socket is not None
            try:
                wire.send_raw(child.socket, memoryview(self._buffer)[:size], fds)
            except OSError:
                self._hang_up(child)  # it was killed
                continue
            child.number, child.turn = number, self._turns
            return
        # The bytes are copied in the child only.
        try:
            pid, end = fork_worker(
                lambda channel: _work(channel, bytes(self._buffer[:size]), fds, self._command)
            )
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                what, limit = "open a socket", "of open files"
            else:
                what, limit = "fork", "of processes"
            self._refuse(f"the zygote cannot {what}: {error.strerror}", limit)
            return
        child = Child(number, self._turns, end, lasting=lasting)
        self._children.add(child)
        self._exits.expect(pid, lambda code, _time: self._ended(child, code))
        self._loop.watch(end.fileno(), EPOLLIN, lambda _ready: self._hear(child))

    def _hear(self, child: Child) -> None:
        self._read_report(child)
        self._exits.reconsider()

    def _read_report(self, child: Child) -> None:
        """Pass the child's report on; at its end without one, its exit will tell."""
        if child.socket is None:
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
        child.served += 1
        self._tell(packet.raw, packet.fds)
        if packet.pid:
            self._follow(packet.pid, packet.number)
        if child.lasting and packet.kind == wire.RESULT and child.served < MOST_SERVED:
            self._idle.append(child)
            self._dismiss(MOST_IDLE if self._open else 0)
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
        self._loop.forget(child.socket.fileno())
        child.socket.close()
        child.socket = None
        if child in self._idle:
            self._idle.remove(child)

    def _read_reports(self) -> None:
        for child in list(self._children):
            self._read_report(child)

    def _is_at_work(self, turn: int) -> bool:
        """Whether a request goes on that was handed on no later than ``turn``."""
        return any(child.number and child.turn <= turn for child in self._children)

    def _ended(self, child: Child, code: int) -> None:
        """A child was reaped: its request fails if it has not reported."""
        self._read_report(child)
        self._hang_up(child)
        self._children.remove(child)
        if child.number:
            self._fail(child.number, OciError(_death(code)))
        self._stop_if_done()

    def _follow(self, pid: int, number: int) -> None:
        """Tell of the end of the process that request ``number`` has made."""

        def ended(code: int, moment: int) -> None:
            self._tell(wire.HEADER.pack(wire.EXIT, 0, number, pid, code, moment), [])

        self._exits.expect(pid, ended)

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
            self._loop.watch(self._control.fileno(), EPOLLIN | EPOLLOUT, self._serve_program)

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
            self._loop.watch(self._control.fileno(), EPOLLIN, self._serve_program)
        return True


def _ended_child(kind: int, pid: int) -> int:
    """The pid of a child that has ended, which stays; 0 when there is none (waitid(2))."""
    try:
        found = os.waitid(kind, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def _death(code: int) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
    return (
        f"the process that carried out the request {how} before it was done; what it has left is "
        "removed by `delete --force`"
    )


def _work(channel: int, raw: bytes, fds: list[int], command: Command) -> None:
    """In a child: carry out the request in ``raw``; nothing of the zygote's loop is run again."""
    from ociruntime.zygote.operations import work

    end = socket(AF_UNIX, SOCK_SEQPACKET, 0, channel)
    work(end, wire.Packet(raw, fds), command)


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

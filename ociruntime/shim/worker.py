"""One short child of the daemon for each operation on a container.

A worker is forked, so that every module is loaded, and does what a command would do: it may end up
in a container's namespaces, fail half-way or wait for a hook, and the daemon goes on. It has none
of the daemon's descriptors. Its result is one packet.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from _struct import pack, unpack

from ociruntime import hostos as os
from ociruntime.errors import AlreadyExists, NotFound, OciError, WrongStatus
from ociruntime.kernel import constants as c
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import SET_SIZE, SIG_SETMASK
from ociruntime.process.patience import children_of
from ociruntime.shim import ttrpc
from ociruntime.shim.loop import Future
from ociruntime.shim.openfiles import limit
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from ociruntime.log import Log
    from ociruntime.shim.exits import Exits

    # Gets the number of its extra descriptor (-1 without one); returns a pid (0: none), and what
    # to warn of.
    Operation = Callable[[int], tuple[int, list[str]]]

LONGEST = 60000
RESULT_FD, EXTRA_FD, FIRST_FREE = 3, 4, 5


class Workers:
    """Runs operations; ``log`` gets their warnings. Workers of a ``lasting`` one end with it."""

    __slots__ = ("_exits", "_parent", "log")

    def __init__(self, exits: Exits, log: Log, *, lasting: bool = False) -> None:
        self._exits = exits
        self._parent = os.getpid() if lasting else 0
        self.log = log

    async def run(
        self,
        operation: Operation,
        streams: Sequence[int] = (),
        extra: int = -1,
        made: Callable[[int], None] | None = None,
    ) -> int:
        """Run ``operation`` in a child and return the pid that it returned; raises ``RpcError``.

        Parameters: ``streams`` become its descriptors 0 to 2 (/dev/null if empty), ``extra`` stays
        open for it; both remain the caller's. ``made`` is called with the pid before the end of
        that process can be missed.
        """
        try:
            ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        except OSError as error:
            raise _no_worker(error) from None
        ended = Future()
        self._exits.hold()
        try:
            try:
                pid = os.fork()
            except OSError as error:
                raise _no_worker(error) from None
            if pid == 0:
                _work(operation, theirs.fileno(), streams, extra, self._parent)
            theirs.close()
            self._exits.expect(pid, lambda status, _time: ended.set(status))
            try:
                status = await ended
            except BaseException:  # nobody waits for it any more
                if not ended.done:  # else it was reaped, and its number may be another's
                    end_worker(pid)
                raise
            ours.settimeout(0)
            result = _receive(ours, status)
            for warning in result[1]:
                self.log.warning(warning)
            if made is not None:
                made(result[0])
        finally:
            ours.close()
            theirs.close()
            self._exits.release()
        return result[0]


def _no_worker(error: OSError) -> RpcError:
    """Not an ``OSError``: of those who clean up nobody would handle it."""
    return RpcError(ttrpc.UNKNOWN, f"cannot start a worker of the runtime: {error.strerror}")


def end_worker(pid: int) -> None:
    """Kill a worker, our child that is not reaped, and what it has made and not handed over yet: a
    process of a container that is stopped, or traced, would not notice that nobody waits for it.
    """
    made = [fd for child in children_of(pid) if (fd := _hold(child, pid)) >= 0]
    os.kill(pid, SIGKILL)
    kernel = Kernel()
    for pidfd in made:
        try:
            kernel.pidfd_send_signal(pidfd, SIGKILL)
        except ProcessLookupError:
            pass
        os.close(pidfd)


def _hold(child: int, parent: int) -> int:
    """A pidfd of ``child``, -1 unless it is ``parent``'s: the number may be another's by now."""
    try:
        pidfd = Kernel().pidfd_open(child)
    except ProcessLookupError:
        return -1
    if child in children_of(parent):
        return pidfd
    os.close(pidfd)
    return -1


def _receive(end: socket, status: int) -> tuple[int, list[str]]:
    try:
        packet = end.recv(LONGEST + 64)
    except BlockingIOError:
        packet = b""
    if not packet:
        text = f"the runtime's worker ended without a result, exit status {status}"
        raise RpcError(ttrpc.UNKNOWN, text)
    code, pid = unpack("=ii", packet[:8])
    texts = packet[8:].decode("utf-8", "replace").split("\0")
    if code != ttrpc.OK:
        raise RpcError(code, texts[0])
    return pid, [text for text in texts if text]


def _dies_with(kernel: Kernel, parent: int) -> bool:
    """Be killed when our parent dies; False when it has."""
    kernel.prctl(c.PR_SET_PDEATHSIG, SIGKILL)
    return os.getppid() == parent


def _work(
    operation: Operation, result: int, streams: Sequence[int], extra: int, parent: int
) -> NoReturn:
    """The worker; never returns, so that nothing of the daemon's is finalized in it. A daemon that
    will have a successor is its ``parent``, else 0: that one does the operation again.
    """
    status = 1
    try:
        kernel = Kernel()
        kernel.invoke("rt_sigprocmask", SIG_SETMASK, bytearray(SET_SIZE), None, SET_SIZE)
        _arrange(kernel, result, streams, extra)
        limit.restore()
        if parent and not _dies_with(kernel, parent):
            os._exit(status)
        os.write(RESULT_FD, _perform(operation, EXTRA_FD if extra >= 0 else -1))
        status = 0
    finally:
        os._exit(status)


def _perform(operation: Operation, extra: int) -> bytes:
    try:
        pid, warnings = operation(extra)
    except OciError as error:
        return _packet(code_of(error), 0, [str(error)])
    except Exception as error:  # noqa: BLE001 - a fault of ours is an answer, too
        return _packet(ttrpc.INTERNAL, 0, [f"internal error: {type(error).__name__}: {error}"])
    return _packet(ttrpc.OK, pid, warnings)


def _packet(code: int, pid: int, texts: list[str]) -> bytes:
    text = "\0".join(texts).encode("utf-8", "backslashreplace")
    return pack("=ii", code, pid) + text[:LONGEST]


def code_of(error: OciError) -> int:
    """The ttrpc code of one of our errors, as containerd's clients expect it."""
    if isinstance(error, NotFound):
        return ttrpc.NOT_FOUND
    if isinstance(error, AlreadyExists):
        return ttrpc.ALREADY_EXISTS
    return ttrpc.FAILED_PRECONDITION if isinstance(error, WrongStatus) else ttrpc.UNKNOWN


def _arrange(kernel: Kernel, result: int, streams: Sequence[int], extra: int) -> None:
    """Standard streams at 0 to 2, the result's socket at 3, the extra descriptor at 4, no others.

    Everything is moved out of the way first: any of them may have any number.
    """
    if not streams:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        streams = (null, null, null)
    high = [kernel.dup_above(fd, 64) for fd in (*streams, result, *([extra] if extra >= 0 else []))]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=number < RESULT_FD)
    kernel.close_from(FIRST_FREE if extra >= 0 else EXTRA_FD)

"""One short child of the daemon for each operation on a container (``resident.worker``). It does
what a command would do; its result is one packet.
"""

from __future__ import annotations

from _struct import pack, unpack

from ociruntime import hostos as os
from ociruntime.errors import AlreadyExists, NotFound, OciError, WrongStatus
from ociruntime.kernel import constants as c
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.patience import children_of
from ociruntime.resident.exits import shell_status
from ociruntime.resident.loop import Future
from ociruntime.resident.worker import arrange, fork_worker
from ociruntime.shim import ttrpc
from ociruntime.shim.openfiles import limit
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Sequence

    from ociruntime.log import Log
    from ociruntime.resident.exits import Exits

    # Gets the number of its extra descriptor (-1 without one); returns a pid (0: none), and what
    # to warn of.
    Operation = Callable[[int], tuple[int, list[str]]]

LONGEST = 60000


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
        parent = self._parent
        try:
            pid, ours = fork_worker(lambda fd: _work(operation, fd, streams, extra, parent))
        except OSError as error:
            # Of those who clean up nobody would handle an OSError.
            text = f"cannot start a worker of the runtime: {error.strerror}"
            raise RpcError(ttrpc.UNKNOWN, text) from None
        ended = Future()
        self._exits.hold()
        try:
            self._exits.expect(pid, lambda code, _time: ended.set(code))
            try:
                code = await ended
            except BaseException:  # nobody waits for it any more
                if not ended.done:  # else it was reaped, and its number may be another's
                    end_worker(pid)
                raise
            ours.settimeout(0)
            result = _receive(ours, shell_status(code))
            for warning in result[1]:
                self.log.warning(warning)
            if made is not None:
                made(result[0])
        finally:
            ours.close()
            self._exits.release()
        return result[0]


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


def _dies_with(parent: int) -> bool:
    """Be killed when our parent dies; False when it has."""
    Kernel().prctl(c.PR_SET_PDEATHSIG, SIGKILL)
    return os.getppid() == parent


def _work(
    operation: Operation, result: int, streams: Sequence[int], extra: int, parent: int
) -> None:
    """The worker. A daemon that will have a successor is its ``parent``, else 0: that one does the
    operation again.
    """
    if not streams:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        streams = (null, null, null)
    result, *others = arrange(streams, (result,) if extra < 0 else (result, extra))
    limit.restore()
    if not parent or _dies_with(parent):
        os.write(result, _perform(operation, others[0] if others else -1))


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

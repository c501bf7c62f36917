"""What oci-init tells of its stages.

It has no descriptor of the trace: the times come over the channel of its report, on request only
(native/block.h, REPORT_TIME): ``exec`` asks for them in the block, ``start`` by the word that lets
it go on. After the last one, the load of the seccomp filter or the end of its identity, the channel
closes when the program is executed.
"""

from __future__ import annotations

from ociruntime.kernel import block
from ociruntime.trace.records import OCI_INIT, TracedRun, clock
from ociruntime.trace.steps import clock_ahead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Any

    from ociruntime.state.store import Container
    from ociruntime.trace.records import Session

    Function = Callable[..., Any]

WAITING = "wait for oci-init"
# What is done from the beginning of a stage to that of the next one.
STAGES = {
    block.STAGE_CLOSE: "close the runtime's descriptors",
    block.STAGE_ROOT: "become root of the user namespace, enter the root",
    block.STAGE_SESSION: "start a session, join a keyring",
    block.STAGE_STREAMS: "give the streams to the user, or make a terminal",
    block.STAGE_DIRECTORY: "enter the working directory",
    block.STAGE_PROGRAM: "find HOME and the program",
    block.STAGE_SIGNALS: "reset signals, set label and resource limits",
    block.STAGE_BOUNDING: "drop capabilities, take on ids",
    block.STAGE_CAPS: "enter the working directory, set capabilities",
    block.STAGE_SECCOMP: "load the seccomp filter, execute the program",
}
LAST = "set capabilities, execute the program"


class TimedConnection:
    """The connection to a waiting oci-init, which is asked for the times as well."""

    __slots__ = ("_socket",)

    def __init__(self, connection: socket) -> None:
        self._socket = connection

    def send(self, word: bytes) -> int:
        """Say the word; ``START`` becomes the one that asks for times."""
        return self._socket.send(block.START_TIMES if word == block.START else word)

    def recvmsg(self, *arguments: int) -> Any:
        """As the socket's own."""
        return self._socket.recvmsg(*arguments)

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """As the socket's own."""
        self._socket.setsockopt(level, option, value)

    def settimeout(self, seconds: float | None) -> None:
        """As the socket's own."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """As the socket's own."""
        self._socket.close()


class Reports:
    """The channel without the times, which are kept: (stage, nanoseconds)."""

    __slots__ = ("_channel", "times")

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.times: list[tuple[int, int]] = []

    def recvmsg(self, *arguments: int) -> Any:
        """The next message that is no time."""
        while True:
            message = self._channel.recvmsg(*arguments)
            if len(message[0]) != block.REPORT.size:
                return message
            _, stage, seconds, nanoseconds = block.REPORT.unpack(message[0])
            if not stage & block.REPORT_TIME:
                return message
            moment = seconds * 1_000_000_000 + nanoseconds
            self.times.append((stage & ~block.REPORT_TIME, moment))


def pack_block(original: Function) -> Function:
    """Wraps ``pack_block``: the block asks for times."""

    def traced(**members: Any) -> Any:
        return original(**members, times=True)

    return traced


def connect(session: Session) -> Callable[[Function], Function]:
    """Wraps ``status.connect``; there was no plan whose init it would be, so this is one."""

    def wrap(original: Function) -> Function:
        def traced(container: Container) -> Any:
            connection = original(container)
            if connection is None:
                return None
            run = TracedRun()
            run.pid = container.data["pid"]
            run.ahead = clock_ahead(run.pid)
            session.runs.append(run)
            return TimedConnection(connection)

        return traced

    return wrap


def read_report(session: Session) -> Callable[[Function], Function]:
    """Wraps ``read_report``: the stages become spans of oci-init, each until the next one."""

    def wrap(original: Function) -> Function:
        def traced(channel: Any, *rest: Any) -> Any:
            reports = Reports(channel)
            begin = clock()
            try:
                return original(reports, *rest)
            finally:
                end = clock()
                session.record(begin, end, WAITING)
                _note(session, reports.times, end)

        return traced

    return wrap


def _note(session: Session, times: list[tuple[int, int]], end: int) -> None:
    if not times:
        return  # it failed before the first one
    run = session.runs[-1]
    ends = [moment for _, moment in times[1:]] + [end + run.ahead]
    has_filter = any(stage == block.STAGE_SECCOMP for stage, _ in times)
    for (stage, moment), until in zip(times, ends, strict=True):
        name = STAGES.get(stage, block.STAGES.get(stage, ""))
        if stage == block.STAGE_CAPS and not has_filter:
            name = LAST
        session.note(OCI_INIT, run.pid, moment, until, name)

"""The records of one traced command: every process of it appends to one memfd, and the first one
makes the file of them.

The memfd is opened before anything is forked, in append mode, so records of several processes do
not mix, and nothing is opened or resolved in a container. It is close-on-exec and lies far above
the descriptors that are handed on, so oci-init has it no more; a container's processes cannot reach
the init that still has it (not dumpable), and would find nothing but times in it.
"""

from __future__ import annotations

import time
from _struct import Struct
from fcntl import F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, fcntl

from ociruntime import hostos as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.step import Step
    from ociruntime.trace.debug import Teller

PARENT, INIT, OCI_INIT = 0, 1, 2
NO_STEP = -1
# role, number of the run, bytes of the text, pid, index of the step, begin, end
RECORD = Struct("=BBHIiqq")
TEXT_LIMIT = 1000

clock = time.monotonic_ns


class SpanRecord:
    """One span. ``text`` is its name and, behind a NUL, the error that ended it; a step's name
    comes from the step.
    """

    __slots__ = ("begin", "end", "error", "name", "pid", "role", "run", "step")

    def __init__(
        self, role: int, run: int, pid: int, step: int, begin: int, end: int, text: str
    ) -> None:
        self.role = role
        self.run = run
        self.pid = pid
        self.step = step
        self.begin = begin
        self.end = end
        self.name, _, self.error = text.partition("\0")


class TracedRun:
    """One executed plan: its init's pid as the host sees it, and what its clock is ahead of ours
    (nanoseconds).
    """

    __slots__ = ("ahead", "pid")

    def __init__(self) -> None:
        self.pid = 0
        self.ahead = 0


class Session:
    """The records of one command."""

    __slots__ = ("_fd", "pid", "runs", "steps", "teller")

    def __init__(self) -> None:
        self._fd = _open()
        self.pid = os.getpid()
        self.steps: list[Step] = []
        self.runs: list[TracedRun] = []
        # Who tells of a plan that has been executed, or has failed.
        self.teller: Teller | None = None

    def record(self, begin: int, end: int, text: str, step: int = NO_STEP) -> None:
        """Note a span of this process."""
        self.note(PARENT, os.getpid(), begin, end, text, step)

    def note(
        self, role: int, pid: int, begin: int, end: int, text: str, step: int = NO_STEP
    ) -> None:
        """Note a span of any process."""
        data = text[:TEXT_LIMIT].encode("utf-8", "backslashreplace")
        run = max(0, len(self.runs) - 1) & 0xFF
        header = RECORD.pack(role, run, len(data), pid, step, begin, end)
        os.write(self._fd, header + data)

    def records(self) -> list[SpanRecord]:
        """Everything noted so far, in the order of the clock."""
        data = b""
        while part := os.pread(self._fd, 1 << 20, len(data)):
            data += part
        found, at = [], 0
        while at < len(data):
            role, run, length, pid, step, begin, end = RECORD.unpack_from(data, at)
            at += RECORD.size
            text = data[at : at + length].decode()
            at += length
            if role == OCI_INIT and run < len(self.runs):
                begin -= self.runs[run].ahead
                end -= self.runs[run].ahead if end else 0
            found.append(SpanRecord(role, run, pid, step, begin, end, text))
        return sorted(found, key=lambda record: (record.begin, -record.end))


def _open() -> int:
    low = os.memfd_create("ociruntime-trace", os.MFD_CLOEXEC)
    # Above what --preserve-fds may name, and what a step gives a number to.
    fd = fcntl(low, F_DUPFD_CLOEXEC, os.sysconf("SC_OPEN_MAX") // 2)
    os.close(low)
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | os.O_APPEND)
    return fd


"""One traced command: every process of it appends records to one memfd, and the first one makes the
file of them.

The memfd is opened before anything is forked, in append mode, so records of several processes do
not mix, and nothing is opened or resolved in a container. It is close-on-exec and lies far above
the descriptors that are handed on, so oci-init has it no more; a container's processes cannot reach
the init that still has it (not dumpable), and would find nothing but times in it.
"""

from __future__ import annotations

import sys
import time
from _struct import Struct
from fcntl import F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, fcntl

from ociruntime import hostos as os
from ociruntime.errors import OciError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.log import Log
    from ociruntime.process.step import Step
    from ociruntime.trace.debug import Teller

PARENT, INIT, OCI_INIT = 0, 1, 2
NO_STEP = -1
# role, number of the run, bytes of the text, pid, index of the step, begin, end
RECORD = Struct("=BBHIiqq")
TEXT_LIMIT = 1000
STAMPS_VARIABLE = b"_OCIRUNTIME_STAMPS"
# They serve many requests, and close every descriptor that they do not know.
REFUSED = ("shim", "zygote")

clock = time.monotonic_ns


class Record:
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


class Run:
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
        self.runs: list[Run] = []
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

    def records(self) -> list[Record]:
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
            found.append(Record(role, run, pid, step, begin, end, text))
        return sorted(found, key=lambda record: (record.begin, -record.end))


def traced(path: str | None, verb: str, log: Log, command: Callable[[], int]) -> int:
    """Carry out ``command`` and write its trace to the file ``path`` (None: none), also when it
    fails; with --debug its steps are told in the log as soon as they are done.

    Returns its status. Raises ``OciError`` before anything was done when the file cannot be
    written; later that is a warning.
    """
    entered = clock()
    if verb in REFUSED:
        raise UsageError(f"--trace: {verb} serves many commands; trace one command instead")
    if path is not None:
        path = os.path.abspath(path)
        try:
            os.close(_create(path))
        except OSError as error:
            raise OciError(
                f"--trace {path}: {error.strerror}; name a file that can be written"
            ) from None
    from ociruntime.trace.document import document
    from ociruntime.trace.probes import Probes

    session = Session()
    if log.debugging:
        from ociruntime.trace.debug import Teller

        session.teller = Teller(session, log)
    probes = Probes(session)
    probes.watch_imports()
    begun = clock()
    began = _stamps(session, entered)
    session.record(entered, begun, "prepare the trace")
    said = ""
    try:
        return command()
    except BaseException as error:
        said = f"\0{error}"
        raise
    finally:
        if os.getpid() == session.pid:
            session.record(began, clock(), f"ociruntime {verb}{said}")
            if path is not None:
                try:
                    _write(path, document(session, verb))
                except OSError as error:
                    log.warning(f"--trace {path}: {error.strerror}")  # noqa: G004


def _open() -> int:
    low = os.memfd_create("ociruntime-trace", os.MFD_CLOEXEC)
    # Above what --preserve-fds may name, and what a step gives a number to.
    fd = fcntl(low, F_DUPFD_CLOEXEC, os.sysconf("SC_OPEN_MAX") // 2)
    os.close(low)
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | os.O_APPEND)
    return fd


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _write(path: str, text: str) -> None:
    fd = _create(path)
    try:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


# What happened between two moments of the launcher (native/stamps.h).
STARTS = {
    ("launcher", "sealed"): "seal the launcher",
    ("launcher", "found"): "find the package",
    ("sealed", "found"): "find the package",
    ("found", "initialized"): "map the start image",
    ("found", "loaded"): "load libpython",
    ("loaded", "initialized"): "initialize Python",
    ("initialized", "imported"): "import the command line",
}


def _stamps(session: Session, entered: int) -> int:
    """Note what came before ``entered``; the beginning of all."""
    before, moment = "", entered
    began = entered
    for field in getattr(sys, "_stamps", "").split(","):
        name, _, digits = field.partition("=")
        if not digits.isdecimal():
            continue
        now = int(digits)
        if (before, name) in STARTS:
            session.record(moment, now, STARTS[before, name])
        began = min(began, now)
        before, moment = name, now
    if before:
        session.record(moment, entered, "read the command line")
    return began

"""Spans of a plan's steps, for the process that they are about.

The executor calls ``step.execute`` as ever; while a command is traced every step is of a subclass
of its class whose ``execute`` and ``undo`` note the time.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.process.step import CONTAINER, Step
from ociruntime.trace.records import INIT, TracedRun, clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ociruntime.process.run import Run
    from ociruntime.trace.records import Session

    Function = Callable[..., Any]

UNDO, PREPARING, WAITING = "undo", "prepare the trace", "wait for init"


def execute(session: Session) -> Callable[[Function], Function]:
    """Wraps ``executor.execute``: each step of the run becomes a span."""
    classes: dict[type[Step], type[Step]] = {}

    def wrap(original: Function) -> Function:
        def traced(run: Run) -> None:
            begin = clock()
            session.runs.append(TracedRun())
            for step in run.steps:
                kind = type(step)
                if kind not in classes:
                    classes[kind] = _traced_class(kind, session)
                step.__class__ = classes[kind]
                session.steps.append(step)
            if session.teller is not None:
                session.teller.begin(run.steps)
            session.record(begin, clock(), PREPARING)
            try:
                original(run)
            finally:
                if session.teller is not None:
                    session.teller.end()

        return traced

    return wrap


def _traced_class(kind: type[Step], session: Session) -> type[Step]:
    """The same step, which notes the time of what it does."""

    def execute(self: Step, run: Run) -> None:
        index, begin = _index(session, self), clock()
        error = ""
        try:
            kind.execute(self, run)
            if self.side == CONTAINER and run.setup is not None:
                # Compiled; to see how long it takes, it is carried out by itself.
                run.setup.carry_out()
        except BaseException as raised:
            error = f"\0{raised}"
            raise
        finally:
            end = clock()
            if self.side == CONTAINER:
                session.record(begin, end, WAITING)
                session.note(INIT, run.pid, begin, end, error, index)
            else:
                session.record(begin, end, error, index)

    def undo(self: Step, run: Run) -> None:
        begin = clock()
        try:
            kind.undo(self, run)
        finally:
            session.record(begin, clock(), UNDO, _index(session, self))

    def listen(self: Step, run: Run) -> Iterator[int]:
        begin, error = clock(), ""
        try:
            yield from kind.listen(self, run)
        except BaseException as raised:
            error = f"\0{raised}"
            raise
        finally:
            session.record(begin, clock(), error, _index(session, self))

    members: dict[str, Any] = {"__slots__": (), "execute": execute}
    if kind.listens:
        # What there is to wait for is all that such a step does.
        members.update(execute=kind.execute, listen=listen)
    if kind.undo is not Step.undo:
        members["undo"] = undo
    return type(kind.__name__, (kind,), members)


def _index(session: Session, step: Step) -> int:
    for index, known in enumerate(session.steps):
        if known is step:
            return index
    raise LookupError(step.label)


def spawn(session: Session) -> Callable[[Function], Function]:
    """Wraps ``spawn``: whose records init's are, and what its clock says."""

    def wrap(original: Function) -> Function:
        def traced(run: Run, *rest: Any) -> None:
            original(run, *rest)
            session.runs[-1].pid = run.pid
            session.runs[-1].ahead = clock_ahead(run.pid)

        return traced

    return wrap


def take(session: Session) -> Callable[[Function], Function]:
    """Wraps ``EnterContainer.take``: whose the times are that oci-exec's process tells."""

    def wrap(original: Function) -> Function:
        def traced(step: Step, run: Run, pid: int) -> None:
            original(step, run, pid)
            session.runs[-1].pid = pid
            session.runs[-1].ahead = clock_ahead(pid)

        return traced

    return wrap


def clock_ahead(pid: int) -> int:
    """Nanoseconds that CLOCK_MONOTONIC of process ``pid`` is ahead of ours (time_namespaces(7));
    0 where the kernel does not say.
    """
    return _offset(str(pid)) - _offset("self")


def _offset(process: str) -> int:
    try:
        fd = os.open(f"/proc/{process}/timens_offsets", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        lines = os.read(fd, 4096).decode().splitlines()
    finally:
        os.close(fd)
    for line in lines:
        fields = line.split()
        if fields[:1] == ["monotonic"] and len(fields) == 3:
            return int(fields[1]) * 1_000_000_000 + int(fields[2])
    return 0

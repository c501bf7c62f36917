"""The trace as JSON in the Trace Event Format, which ui.perfetto.dev and chrome://tracing open
(schemas/trace.json).
"""

from __future__ import annotations

import sys
import time

from ociruntime import __version__
from ociruntime.jsontext import dumps
from ociruntime.trace.records import INIT, NO_STEP, OCI_INIT, PARENT
from ociruntime.trace.steps import UNDO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.trace.records import Session, SpanRecord

NAMES = {PARENT: "ociruntime", INIT: "init", OCI_INIT: "oci-init"}
STEP, PHASE, STAGE = "step", "phase", "stage"


def document(session: Session, verb: str) -> str:
    """One event a line."""
    records = session.records()
    tracks: dict[tuple[int, int], None] = {}
    events = []
    for record in records:
        pid = _pid(session, record)
        tracks[pid, record.role] = None
        events.append(_event(session, record, pid))
    names = [_name(pid, role, order) for order, (pid, role) in enumerate(tracks)]
    lines = ",\n".join(dumps(event) for event in names + events)
    other = {
        "command": verb,
        "arguments": [ascii_safe(word) for word in sys.argv[1:]],
        "version": __version__,
        "clock": "CLOCK_MONOTONIC",
        # What that clock's zero was in the world's time; text, because it is no 53-bit number.
        "epochNanoseconds": str(time.time_ns() - time.monotonic_ns()),
    }
    tail = f'"displayTimeUnit":"ns",\n"otherData":{dumps(other)}}}\n'
    return f'{{"traceEvents":[\n{lines}\n],\n{tail}'


def ascii_safe(word: str) -> str:
    """A word of the command line without lone surrogates."""
    return word.encode("utf-8", "backslashreplace").decode()


def _pid(session: Session, record: SpanRecord) -> int:
    """The pid that the host sees: init may be 1 in a pid namespace of its own."""
    if record.role == PARENT or record.run >= len(session.runs):
        return record.pid
    return session.runs[record.run].pid or record.pid


def _event(session: Session, record: SpanRecord, pid: int) -> dict[str, object]:
    category = STAGE if record.role == OCI_INIT else PHASE
    name = record.name
    arguments: dict[str, object] = {}
    if record.step != NO_STEP:
        step = session.steps[record.step]
        category = STEP
        name = f"undo: {step.label}" if record.name == UNDO else step.describe()
        arguments = {"step": step.kind, "stage": step.stage, "pointer": step.pointer}
    if record.error:
        arguments["error"] = record.error
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "pid": pid,
        "tid": record.role,
        "ts": record.begin / 1000,
        "dur": (record.end - record.begin) / 1000,
        "args": arguments,
    }


def _name(pid: int, role: int, order: int) -> dict[str, object]:
    """Perfetto's name of a track."""
    return {
        "name": "thread_name",
        "cat": "__metadata",
        "ph": "M",
        "pid": pid,
        "tid": role,
        "ts": 0,
        "args": {"name": NAMES[role], "order": order},
    }

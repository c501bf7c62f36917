"""The steps of a plan in the log, for --debug: what each did, on which side, how it ended, and how
long that took. Out of the same records as a trace.
"""

from __future__ import annotations

from ociruntime.plan.names import names
from ociruntime.process.step import CONTAINER, HOST
from ociruntime.trace.records import INIT
from ociruntime.trace.steps import UNDO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.log import Log
    from ociruntime.process.step import Step
    from ociruntime.trace.records import Session, SpanRecord

MILLISECOND = 1_000_000


class Teller:
    """Tells the steps of one plan after the other."""

    def __init__(self, session: Session, log: Log) -> None:
        self._session = session
        self._log = log
        self._first = 0
        self._names: list[str] = []

    def begin(self, steps: list[Step]) -> None:
        """Note what they are called; some change what they are about when they fail."""
        self._first = len(self._session.steps) - len(steps)
        self._names = names(steps)

    def end(self) -> None:
        """Tell what became of them."""
        found = self._session.records()
        records = [record for record in found if record.step >= self._first and record.end]
        for record in records:
            self._log.debug(self._line(record, self._names[record.step - self._first]))
        took = sum(record.end - record.begin for record in records)
        count = len({record.step for record in records})
        self._log.debug(
            f"{count} of {len(self._names)} steps, {_milliseconds(took)} in all of them"
        )

    def _line(self, record: SpanRecord, name: str) -> str:
        side = CONTAINER if record.role == INIT else HOST
        step = self._session.steps[record.step]
        time = _milliseconds(record.end - record.begin)
        what = "undo: " if record.name == UNDO else ""
        end = f"failed after {time}: {record.error}" if record.error else f"done in {time}"
        return f"{side}: {name}: {what}{step.describe()}: {end}"


def _milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / MILLISECOND:.3f} ms"

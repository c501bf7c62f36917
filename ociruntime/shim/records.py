"""What the journal has of a process: enough for ``succession`` to go on with it."""

from __future__ import annotations

from ociruntime.shim.options import ShimOptions
from ociruntime.shim.task import Execution, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.resident.loop import Loop
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.task import Process

PROCESS = "process/"
REMOVED = "removed/"
# How long an answer of Delete may take to its client (seconds).
ANSWER_SECONDS = 10.0


def key_of(process: Process) -> str:
    """Ids of containers and processes have no slash (``state.ids``; containerd checks both)."""
    return f"{PROCESS}{process.id}/{process.exec_id}"


def note(journal: NoJournal, process: Process) -> None:
    """Write down what is known of it now, unless it was erased: its end may come later, and a
    successor would have a container that nobody can remove.
    """
    if not journal.lasting or process.erased:
        return
    wanted = process.wanted
    values = {
        "wanted": (wanted.stdin, wanted.stdout, wanted.stderr, wanted.terminal, wanted.owner),
        "pid": process.pid,
        "started": process.started,
        "status": process.status,
        "starting": process.starting,
        "record": process.record,
        "exit_status": process.exit_status,
        "exited_at": process.exited_at,
        "input_closed": process.input_closed,
        "number": process.number,
    }
    if isinstance(process, Execution):
        values["spec"] = process.spec
    elif isinstance(process, Task):
        values["bundle"] = process.bundle
        values["checkpoint"] = process.checkpoint
        values["options"] = {name: getattr(process.options, name) for name in ShimOptions.__slots__}
    journal.put(key_of(process), values)


def erase(journal: NoJournal, process: Process) -> None:
    """It is nobody's any more, nor is what was executed in it."""
    if isinstance(process, Task):
        for execution in process.executions.values():
            execution.erased = True
            journal.put(key_of(execution), None)
    process.erased = True
    journal.put(key_of(process), None)


class Removed:
    """What Delete answers for processes that are gone. The daemon may end after that, and before
    it has told: its successor is asked again, and knows of no such process.
    """

    __slots__ = ("_answers", "_journal", "_loop")

    def __init__(self, loop: Loop, journal: NoJournal) -> None:
        self._loop = loop
        self._journal = journal
        self._answers: dict[str, dict[str, Any]] = {}

    def note(self, process: Process) -> None:
        """It will be erased next: what is written in between does not count, as it is there yet."""
        if self._journal.lasting:
            key = f"{REMOVED}{process.id}/{process.exec_id}"
            answer = process.result()
            self._journal.put(key, answer)
            self.know(key, answer)

    def know(self, key: str, answer: dict[str, Any]) -> None:
        """A record, of a predecessor for example; it goes when nobody can wait for it any more."""
        self._answers[key] = answer
        self._loop.spawn(self._forget(key, answer))

    def answer(self, container_id: str, exec_id: str) -> dict[str, Any] | None:
        """What was answered, or would have been; None for what was not removed of late."""
        return self._answers.get(f"{REMOVED}{container_id}/{exec_id}")

    async def _forget(self, key: str, answer: dict[str, Any]) -> None:
        await self._loop.sleep(ANSWER_SECONDS)
        if self._answers.get(key) is answer:
            del self._answers[key]
            self._journal.put(key, None)

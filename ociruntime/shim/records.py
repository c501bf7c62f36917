"""What the journal has of a process: enough for ``succession`` to go on with it."""

from __future__ import annotations

from ociruntime.shim.options import ShimOptions
from ociruntime.shim.task import Execution, Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.task import Process

PROCESS = "process/"


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
        values["options"] = {
            name: getattr(process.options, name) for name in ShimOptions.__slots__
        }
    journal.put(key_of(process), values)


def erase(journal: NoJournal, process: Process) -> None:
    """It is nobody's any more, nor is what was executed in it."""
    if isinstance(process, Task):
        for execution in process.executions.values():
            execution.erased = True
            journal.put(key_of(execution), None)
    process.erased = True
    journal.put(key_of(process), None)

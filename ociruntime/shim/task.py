"""What the daemon knows of one container and of the processes executed in it."""

from __future__ import annotations

import errno

from ociruntime.resident.loop import Future, Job, Lock
from ociruntime.shim import ttrpc
from ociruntime.shim.messages import timestamp
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.path import Placement
    from ociruntime.shim.oom import Watch
    from ociruntime.shim.options import ShimOptions
    from ociruntime.shim.stdio import Streams, Wanted
    from ociruntime.state.store import Store

# containerd.v1.types.Status
CREATED, RUNNING, STOPPED, PAUSED = 1, 2, 3, 4
# struct winsize has 16 bits for each (TIOCSWINSZ(2const)).
LARGEST_SIZE = 0xFFFF


class Process:
    """The first process of a container, or one executed in it.

    ``status`` is CREATED (an executed one has no pid then), RUNNING or STOPPED. ``starting`` while
    Start works: an end that comes meanwhile waits in ``record``, so that no exit is told before
    the start; ``begun`` is done when Start is. ``ended`` is done when the exit is told, or nothing
    will ever end. ``removal`` is held by who deletes it.

    ``number`` is that of its streams, and ``started`` when its pid was given to it (clock ticks
    since boot, 0 where nobody will ask): a successor of the daemon finds them by these. ``adopted``
    once it is a successor's: not its child. ``erased`` once the journal must not have it any more.

    What clients ask of the streams before there are any is remembered and done when they are:
    CloseIO in ``input_closed``, the last ResizePty in ``size`` (width, height).
    """

    def __init__(self, task_id: str, exec_id: str, wanted: Wanted) -> None:
        self.id = task_id
        self.exec_id = exec_id
        self.wanted = wanted
        self.streams: Streams | None = None
        self.pid = 0
        self.started = 0
        self.number = 0
        self.adopted = False
        self.erased = False
        self.status = CREATED
        self.starting = False
        self.begun = Future()
        self.input_closed = False
        self.size: tuple[int, int] | None = None
        self.record: tuple[int, int] | None = None
        self.exit_status = 0
        self.exited_at = 0
        self.ended = Future()
        self.removal = Lock()

    def take(self, streams: Streams) -> None:
        """The streams are there: do what was asked of them meanwhile."""
        self.streams = streams
        if self.status == STOPPED:  # it was faster than we are
            streams.process_ended()
        if self.size is not None:
            streams.resize(*self.size)
        if self.input_closed:
            streams.close_stdin()

    def resize(self, width: int, height: int) -> None:
        """ResizePty; raises ``OSError`` without a terminal, ``RpcError`` for an impossible size."""
        check_size(width, height)
        if not self.wanted.terminal:
            raise OSError(errno.ENOTTY, "the process has no terminal")
        self.size = width, height
        if self.streams is not None:
            self.streams.resize(width, height)

    def close_input(self) -> None:
        """CloseIO: the process's input ends as soon as the client has closed it, too."""
        self.input_closed = True
        if self.streams is not None:
            self.streams.close_stdin()

    def end(self, status: int, time: int) -> None:
        """Note the exit status and when (nanoseconds since the epoch)."""
        self.exit_status = status
        self.exited_at = time
        self.status = STOPPED
        if self.streams is not None:
            self.streams.process_ended()

    def result(self) -> dict[str, Any]:
        """The fields of Wait's and Delete's answers."""
        return {
            "pid": self.pid,
            "exit_status": self.exit_status,
            "exited_at": timestamp(self.exited_at),
        }

    def document(self, bundle: str, status: int) -> dict[str, Any]:
        """The fields of State's answer."""
        return {
            "id": self.id,
            "exec_id": self.exec_id,
            "bundle": bundle,
            "status": status,
            "stdin": self.wanted.stdin,
            "stdout": self.wanted.stdout,
            "stderr": self.wanted.stderr,
            "terminal": self.wanted.terminal,
            **self.result(),
        }


class Execution(Process):
    """A process that Exec announced: ``spec`` is the JSON text of it."""

    def __init__(self, task_id: str, exec_id: str, wanted: Wanted, spec: bytes) -> None:
        super().__init__(task_id, exec_id, wanted)
        self.spec = spec


class Task(Process):
    """A container: its first process, and the others by exec id.

    ``shared_pid``: it has no pid namespace whose end would be theirs, too. ``paused`` is what we
    were told to do last. ``making`` is the work of Create while it goes on, ``beginning`` that of
    Start. ``early_ooms`` counts those that came while Start worked. ``checkpoint`` is the directory
    of the images that Start will restore it from; until then it has no process. ``last_output`` is
    done when its end need not wait for its output any more; None while it has not ended.
    """

    def __init__(
        self, task_id: str, bundle: str, wanted: Wanted, store: Store, options: ShimOptions
    ) -> None:
        super().__init__(task_id, "", wanted)
        self.bundle = bundle
        self.store = store
        self.options = options
        self.executions: dict[str, Execution] = {}
        self.placement: Placement | None = None
        self.shared_pid = False
        self.paused = False
        self.watch: Watch | None = None
        self.early_ooms = 0
        self.making: Job | None = None
        self.beginning: Job | None = None
        self.checkpoint = ""
        self.last_output: Future | None = None

    def process(self, exec_id: str) -> Process:
        """The first process for an empty id; raises ``RpcError``."""
        if not exec_id:
            return self
        found = self.executions.get(exec_id)
        if found is None:
            text = f"process does not exist {exec_id}: not found"
            raise RpcError(ttrpc.NOT_FOUND, text)
        return found

    def busy(self) -> bool:
        """Whether executed processes are still running, or about to."""
        return any(e.status == RUNNING or e.starting for e in self.executions.values())


def check_size(width: int, height: int) -> None:
    """Raise ``RpcError`` for a terminal's size (characters) of more than 16 bits."""
    if max(width, height) > LARGEST_SIZE:
        text = f"a terminal of {width} x {height}: the limit is {LARGEST_SIZE} for each"
        raise RpcError(ttrpc.INVALID_ARGUMENT, text)

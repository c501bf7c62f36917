"""What a daemon writes down of its processes, and how its successor goes on with them.

What a successor cannot know, it says: an exec that was being started may have run or not, and its
Start fails; a Create under way is taken back and done anew; of out-of-memory events that came while
there was no daemon, none is told.
"""

from __future__ import annotations

from _socket import socket
from select import EPOLLIN

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.pids import STARTED, is_alive, open_process, stat_fields
from ociruntime.shim import messages as m
from ociruntime.shim import service, ttrpc
from ociruntime.shim.events import EVENT
from ociruntime.shim.lasting import CONNECTION, HALF, REQUEST, LastingConnection
from ociruntime.shim.options import ShimOptions
from ociruntime.shim.records import PROCESS, REMOVED
from ociruntime.shim.shared import RESERVED, keep
from ociruntime.shim.stdio import STREAMS, Streams, Wanted
from ociruntime.shim.task import CREATED, RUNNING, STOPPED, Execution, Process, Task
from ociruntime.state import status as st
from ociruntime.state.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ociruntime.shim.exits import KeptExits
    from ociruntime.shim.journal import Journal
    from ociruntime.shim.service import Tasks

    Exit = tuple[int, int, int]

# containerd's for what it does not know (client.UnknownExitStatus).
UNKNOWN = 255
# How long the keeper may take to tell of the end of a process that is gone (seconds).
WORD_SECONDS = 30.0


class Succession:
    """From ``records`` and descriptors (``kept``) to a daemon that has what its predecessor had."""

    def __init__(
        self, tasks: Tasks, exits: KeptExits, journal: Journal, records: dict[str, Any]
    ) -> None:
        self._tasks = tasks
        self._exits = exits
        self._journal = journal
        self._records = records
        self._streams: dict[int, dict[str, int]] = {}
        self._connections: dict[int, socket] = {}
        # How many containers are being made anew.
        self._again = 0

    def take_over(self, kept: dict[str, int], ended: Iterable[Exit]) -> None:
        """Do it all; ``ended`` are those of whose ends the keeper has told."""
        for name, fd in kept.items():
            kind, _, rest = name.partition("/")
            if kind == STREAMS.rstrip("/"):
                number, _, part = rest.partition("/")
                self._streams.setdefault(int(number), {})[part] = fd
            elif kind == CONNECTION.rstrip("/"):
                self._connections[int(rest)] = socket(fileno=fd)
        processes = [
            self._process(name.removeprefix(PROCESS), values)
            for name, values in sorted(self._records.items())
            if name.startswith(PROCESS)
        ]
        self._tasks.counts.adopted = len(self._tasks.tasks)
        for entry in sorted(
            (v for name, v in self._records.items() if name.startswith(EVENT)), key=_number
        ):
            self._tasks.publisher.queue(entry)
        for task, process, values in processes:
            self._resume(task, process, values)
        for exit_ in ended:
            self._exits.tell(*exit_)
        self._journal.told([pid for pid, _, _ in ended])
        for name, answer in self._records.items():
            if name.startswith(REMOVED):
                self._tasks.removed.know(name, answer)
        self._connect()
        if not self._again:
            self._close_left()
        for task in list(self._tasks.tasks.values()):
            if not task.pid and not task.checkpoint and task.making is None:
                self._tasks.loop.spawn(self._tasks.withdrawals.take_back(task))
        for name in self._records:
            if name.startswith(RESERVED):
                self._tasks.loop.spawn(keep(self._tasks, name.removeprefix(RESERVED)))
        self._tasks.end_if_idle()
        self._journal.ready()

    def _close_left(self) -> None:
        """Streams that nobody needs any more."""
        for number, parts in self._streams.items():
            self._journal.release(f"{STREAMS}{number}/")
            for fd in parts.values():
                os.close(fd)
        self._streams.clear()

    # processes

    def _process(
        self, name: str, values: dict[str, Any]
    ) -> tuple[Task, Process, dict[str, Any]]:
        """The process as it was; a task comes before what was executed in it."""
        container_id, _, exec_id = name.partition("/")
        *paths, terminal, owner = values["wanted"]
        wanted = Wanted(*paths, terminal=terminal)
        wanted.owner = owner
        process: Process
        if exec_id:
            task = self._tasks.tasks[container_id]
            process = Execution(container_id, exec_id, wanted, values["spec"])
            task.executions[exec_id] = process
        else:
            options = ShimOptions(values["options"])
            store = Store(os.path.join(options.root, self._tasks.namespace))
            process = task = Task(container_id, values["bundle"], wanted, store, options)
            task.checkpoint = values["checkpoint"]
            self._tasks.tasks[container_id] = task
        process.pid = values["pid"]
        process.started = values["started"]
        process.status = values["status"]
        process.record = values["record"]
        process.input_closed = values["input_closed"]
        process.number = values["number"]
        return task, process, values

    def _resume(self, task: Task, process: Process, values: dict[str, Any]) -> None:
        if process.number in self._streams and process.pid:
            tasks = self._tasks
            warn = tasks.workers.log.warning
            number, copier = process.number, tasks.making.copier
            process.streams = Streams(tasks.loop, warn, self._journal, number, copier)
            process.streams.take_over(self._streams.pop(process.number))
        if process.status == STOPPED:
            process.end(values["exit_status"], values["exited_at"])
            process.ended.set()
            return
        if process is task and process.pid:
            self._tasks.lifetimes.created(task)
        if values["starting"]:
            self._begun(task, process)
        elif process is task and process.status == RUNNING:
            task.paused = _status(task) == st.PAUSED
        if process.pid and process.record is None:
            self._tasks.lifetimes.adopt(process, task, self._exits)
            if not is_alive(process.pid, process.started):
                self._tasks.loop.spawn(self._doubt(process, task))
        elif process.record is not None:
            self._tasks.lifetimes.advance(process, task)

    def _begun(self, task: Task, process: Process) -> None:
        """What has become of a Start that nobody has told the result of."""
        word = _status(task)
        task.paused = word == st.PAUSED
        if process is task:
            if word in (st.CREATED, st.CREATING):
                return  # it is done again
            topic, name, message = "/tasks/start", "TaskStart", m.TASK_START
        elif process.pid:
            topic, name, message = "/tasks/exec-started", "TaskExecStarted", m.TASK_EXEC_STARTED
        else:
            process.end(UNKNOWN, 0)
            process.ended.set()
            return
        process.status = RUNNING
        values = {"container_id": task.id, "exec_id": process.exec_id, "pid": process.pid}
        self._tasks.publisher.publish(topic, name, message, values)

    async def _doubt(self, process: Process, task: Task) -> None:
        """It is gone; if the keeper knows nothing of it, nobody does. On a machine without CPU time
        that one may take long to look: what it has not reaped yet is a zombie.
        """
        while True:
            fields = stat_fields(process.pid)
            await self._tasks.loop.sleep(WORD_SECONDS)
            if not fields or int(fields[STARTED]) != process.started:
                break
        _not_known(self._tasks, process, task)

    # requests

    def _connect(self) -> None:
        asked: dict[int, dict[int, bytes]] = {}
        for name, payload in self._records.items():
            if name.startswith(REQUEST):
                number, stream = map(int, name.removeprefix(REQUEST).split("/"))
                if number in self._connections:
                    asked.setdefault(number, {})[stream] = payload
                else:
                    self._journal.put(name, None)
        for number, end in self._connections.items():
            requests = asked.get(number, {})
            connection = LastingConnection(
                self._tasks.loop, end, self._tasks.handle, self._journal, number, tuple(requests)
            )
            if self._records.get(f"{HALF}{number}"):
                connection.close()
                self._journal.put(f"{HALF}{number}", None)
                continue
            for stream, payload in requests.items():
                connection.again(stream, payload, self._handle_again)

    async def _handle_again(self, name: str, method: str, payload: bytes) -> bytes:
        """A request that the predecessor had: what it has done is not done twice."""
        settled = SETTLED.get(method)
        if settled is not None:
            request, response, _ = service.METHODS[method]
            values = request.decode(payload)
            answer = settled(self._tasks, values)
            if answer is not None:
                return response.encode(answer)
            if method == "Create":
                return await self._create_again(name, payload)
        return await self._tasks.handle(name, method, payload)

    async def _create_again(self, name: str, payload: bytes) -> bytes:
        """What predecessors had opened stays until it is open again: who reads it would take it
        for the container's end. One of them may have died in here, too, so whose it is nobody
        knows any more: all of it stays as long.
        """
        self._again += 1
        try:
            return await self._tasks.handle(name, "Create", payload)
        finally:
            self._again -= 1
            if not self._again:
                self._close_left()


def keeper_lost(tasks: Tasks) -> None:
    """Nobody tells of the ends of a predecessor's processes any more: look for them ourselves."""
    for task in list(tasks.tasks.values()):
        for process in (task, *task.executions.values()):
            if process.adopted and process.record is None:
                tasks.loop.spawn(_outlive(tasks, process, task))


async def _outlive(tasks: Tasks, process: Process, task: Task) -> None:
    pidfd = open_process(process.pid, process.started)
    if pidfd >= 0:
        await tasks.loop.ready(pidfd, EPOLLIN)
        os.close(pidfd)
    _not_known(tasks, process, task)


def _not_known(tasks: Tasks, process: Process, task: Task) -> None:
    if process.record is None:
        text = f"{process.exec_id or process.id}: how it ended is not known"
        tasks.workers.log.warning(text)
        tasks.lifetimes.unknown(process, task, UNKNOWN)


def _number(entry: tuple[Any, ...]) -> int:
    return int(entry[-1])


def _status(task: Task) -> str:
    try:
        container = task.store.open(task.id)
    except OciError:
        return st.STOPPED
    try:
        return st.status(container)
    finally:
        container.close()


def _created(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any] | None:
    task = tasks.tasks.get(request["id"])
    return {"pid": task.pid} if task is not None and (task.pid or task.checkpoint) else None


def _started(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any] | None:
    process = tasks.task(request["id"]).process(request["exec_id"])
    if process.status == CREATED:
        return None
    if not process.pid:
        text = f"{process.exec_id}: the daemon has died meanwhile; whether it ran is not known"
        raise ttrpc.RpcError(ttrpc.UNAVAILABLE, text)
    return {"pid": process.pid}


def _announced(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any] | None:
    return {} if request["exec_id"] in tasks.task(request["id"]).executions else None


def _paused(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any] | None:
    return {} if tasks.task(request["id"]).paused else None


def _resumed(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any] | None:
    return None if tasks.task(request["id"]).paused else {}


def _removed(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any] | None:
    task = tasks.tasks.get(request["id"])
    if task is not None and (not request["exec_id"] or request["exec_id"] in task.executions):
        return None
    return tasks.removed.answer(request["id"], request["exec_id"])


SETTLED: dict[str, Callable[[Tasks, dict[str, Any]], dict[str, Any] | None]] = {
    "Create": _created,
    "Start": _started,
    "Exec": _announced,
    "Pause": _paused,
    "Resume": _resumed,
    "Delete": _removed,
}

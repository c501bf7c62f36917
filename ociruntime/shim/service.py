"""containerd's Task service: what each request does, and in which order it tells what happened.

Of each process: create before start before exit before delete; of a container the exit of the
first process is the last one, though it ends first.
"""

from __future__ import annotations

import time

from ociruntime import hostos as os
from ociruntime.resident.loop import Future, Job, first
from ociruntime.shim import checkpoints, operations, shared, ttrpc
from ociruntime.shim import messages as m
from ociruntime.shim.counts import Counts
from ociruntime.shim.lifetimes import Lifetimes, gone, held
from ociruntime.shim.making import Making
from ociruntime.shim.options import read_options
from ociruntime.shim.records import Removed, erase, note
from ociruntime.shim.stdio import Wanted
from ociruntime.shim.task import CREATED, PAUSED, RUNNING, STOPPED, Execution, Task
from ociruntime.shim.ttrpc import RpcError
from ociruntime.shim.withdrawals import Withdrawals
from ociruntime.state.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ociruntime.protobuf import Message
    from ociruntime.resident.exits import Exits
    from ociruntime.resident.loop import Loop
    from ociruntime.shim.events import Publisher
    from ociruntime.shim.execs import Execs
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.worker import Workers

    Method = Callable[["Tasks", dict[str, Any]], Awaitable[dict[str, Any]]]

# How long Delete waits for output that the container has written and nobody has read (seconds).
DRAIN_SECONDS = 10.0
# How long the end of a killed process may take to be told.
END_SECONDS = 10.0
SIGKILL = 9


class Tasks:
    """All containers of this daemon, by id."""

    def __init__(
        self,
        loop: Loop,
        workers: Workers,
        execs: Execs,
        exits: Exits,
        publisher: Publisher,
        namespace: str,
        journal: NoJournal,
    ) -> None:
        self.loop = loop
        self.workers = workers
        self.execs = execs
        self.exits = exits
        self.publisher = publisher
        self.namespace = namespace
        self.tasks: dict[str, Task] = {}
        self.journal = journal
        self.counts = Counts()
        self.removed = Removed(loop, journal)
        self.withdrawals = Withdrawals(loop, workers, self.tasks, journal)
        self.lifetimes = Lifetimes(loop, workers, exits, publisher, journal)
        self.making = Making(loop, workers, self.lifetimes, namespace, journal)
        self.reservations = shared.Reservations(loop, journal)
        self.shared = self.ending = False
        self.shutdown: Callable[[], None] = loop.stop

    async def handle(self, service: str, method: str, payload: bytes) -> bytes:
        """Answer one request; raises ``RpcError``."""
        entry = SERVICES.get(service, {}).get(method)
        if entry is None:
            raise RpcError(ttrpc.UNIMPLEMENTED, f"{service}/{method}: not implemented")
        request, response, function = entry
        began, failed = time.monotonic_ns(), True
        try:
            answer = await function(self, request.decode(payload))
            failed = False
            return response.encode(answer)
        except ValueError as error:  # a WireError, or a path with a NUL
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"{method}: {error}") from None
        except OSError as error:
            # Of the loop's own work: fifos, sockets, processes that could not be forked.
            where = f"{error.filename}: " if error.filename else ""
            text = f"{method}: {where}{error.strerror}"
            raise RpcError(ttrpc.UNKNOWN, text) from None
        finally:
            self.counts.note(method, began, failed=failed)

    def task(self, container_id: str) -> Task:
        """The container, once Create has made it; raises ``RpcError``."""
        task = self.tasks.get(container_id)
        if task is None or not (task.pid or task.checkpoint):
            raise RpcError(ttrpc.NOT_FOUND, f"container not created: {container_id}: not found")
        return task

    # the life of a container

    async def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Mount, create, and tell."""
        container_id, bundle = request["id"], request["bundle"]
        held = self.tasks.get(container_id)
        if held is not None and not (held.pid or held.checkpoint) and held.making is None:
            await self.withdrawals.take_back(held)
        if container_id in self.tasks:
            raise RpcError(ttrpc.ALREADY_EXISTS, f"{container_id}: already exists")
        options = read_options(request["options"])
        wanted = _wanted(request)
        wanted.owner = options.io_uid, options.io_gid
        store = Store(os.path.join(options.root, self.namespace))
        task = Task(container_id, bundle, wanted, store, options)
        # Counted from now on: a second Create, or a Shutdown, must not come in between.
        self.tasks[container_id] = task
        shared.follow_log(self)
        note(self.journal, task)
        if request["checkpoint"]:
            operation = operations.mount_container(bundle, request["rootfs"], options)
            making = Job(self.workers.run(operation))
        else:
            operation = operations.create_container(
                store, container_id, bundle, request["rootfs"], options
            )
            work = self.making.make(task, task, lambda *how: self.workers.run(operation, *how))
            making = Job(work)
        task.making = making
        try:
            await making.result
        except BaseException as error:
            making.cancel(error)
            if making.cancelled:  # a worker that fails has taken back what it did
                self.loop.spawn(self.withdrawals.take_back(task))
            else:
                del self.tasks[container_id]
                erase(self.journal, task)
            raise
        finally:
            task.making = None
        # Only now: a daemon that made nothing else ends when nobody tries again within its time.
        self.reservations.drop(container_id)
        task.checkpoint = request["checkpoint"]
        if task.checkpoint:
            note(self.journal, task)
        else:
            self.lifetimes.created(task)
        values = {
            "container_id": container_id,
            "bundle": bundle,
            "rootfs": request["rootfs"],
            "io": {name: request[name] for name in ("stdin", "stdout", "stderr", "terminal")},
            "checkpoint": request["checkpoint"],
            "pid": task.pid,
        }
        self.publisher.publish("/tasks/create", "TaskCreate", m.TASK_CREATE, values)
        return {"pid": task.pid}

    async def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the container's program, or a process that Exec has announced."""
        task = self.task(request["id"])
        process = task.process(request["exec_id"])
        if process.status != CREATED or process.starting:
            text = f"cannot start {process.exec_id or process.id}: it was started before"
            raise RpcError(ttrpc.FAILED_PRECONDITION, text)
        process.starting = True
        process.begun = Future()
        note(self.journal, process)
        try:
            if isinstance(process, Execution):
                await self._start_execution(task, process)
            else:
                if task.checkpoint:
                    work = checkpoints.restore(self, task)
                else:
                    operation = operations.start_container(task.store, task.id)
                    work = self.workers.run(operation)
                task.beginning = Job(work)
                try:
                    await task.beginning.result
                except BaseException as error:
                    task.beginning.cancel(error)
                    if isinstance(error, RpcError) and error.code == ttrpc.DEADLINE_EXCEEDED:
                        process.status = RUNNING  # as far as anybody can know: to be killed first
                    raise
                finally:
                    task.beginning = None
                process.status = RUNNING
                values = {"container_id": task.id, "pid": task.pid}
                self.publisher.publish("/tasks/start", "TaskStart", m.TASK_START, values)
        finally:
            self.lifetimes.started(process, task)
            process.begun.set()
        return {"pid": process.pid}

    async def _start_execution(self, task: Task, process: Execution) -> None:
        if task.status == STOPPED or task.record is not None:
            text = f"cannot exec in a stopped container: {task.id}"
            raise RpcError(ttrpc.FAILED_PRECONDITION, text)

        async def run(streams: list[int], extra: int, made: Callable[[int], None]) -> None:
            what = task.store, task.id, process.spec
            if not await self.execs.run(*what, streams, extra, made):
                await self.workers.run(operations.run_process(*what), streams, extra, made)

        await self.making.make(process, task, run)
        process.spec = b""
        process.status = RUNNING
        values = {"container_id": task.id, "exec_id": process.exec_id, "pid": process.pid}
        self.publisher.publish(
            "/tasks/exec-started", "TaskExecStarted", m.TASK_EXEC_STARTED, values
        )

    async def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """Exec: announce a process; Start runs it."""
        task = self.task(request["id"])
        exec_id = request["exec_id"]
        if not exec_id or exec_id in task.executions:
            raise RpcError(ttrpc.ALREADY_EXISTS, f"exec {exec_id}: already exists")
        spec = request["spec"]["value"] if request["spec"] else b""
        wanted = _wanted(request)
        wanted.owner = task.wanted.owner
        execution = task.executions[exec_id] = Execution(task.id, exec_id, wanted, spec)
        note(self.journal, execution)
        values = {"container_id": task.id, "exec_id": exec_id}
        self.publisher.publish("/tasks/exec-added", "TaskExecAdded", m.TASK_EXEC_ADDED, values)
        return {}

    async def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove a process that has ended, or the container with its first one."""
        unmade = self.tasks.get(request["id"])
        if unmade is not None and not unmade.pid and not request["exec_id"]:
            return await self.withdrawals.delete(unmade)
        task = self.task(request["id"])
        process = task.process(request["exec_id"])
        if process.status == RUNNING or process.starting:
            text = f"{process.exec_id or process.id}: it runs; kill it and wait for its end first"
            raise RpcError(ttrpc.FAILED_PRECONDITION, text)
        if process.streams is not None and process.status == STOPPED:
            await first(self.loop, process.streams.drained(), DRAIN_SECONDS)
        # A client that lost patience asks again: the second one must not take away what has got the
        # id since.
        async with process.removal:
            now = self.task(task.id)
            if now is not task or now.process(process.exec_id) is not process:
                text = f"{process.exec_id or process.id}: it was deleted meanwhile: not found"
                raise RpcError(ttrpc.NOT_FOUND, text)
            if process is task:
                await self._delete_container(task)
            else:
                del task.executions[process.exec_id]
                self.removed.note(process)
                erase(self.journal, process)
                process.ended.set()  # whoever waits for one that never ran
        if process.streams is not None:
            process.streams.close()
            process.streams = None
        return process.result()

    async def _delete_container(self, task: Task) -> None:
        self.lifetimes.unwatch(task)  # a cgroup v1 tells of its end as if it were an OOM
        operation = operations.delete_container(task.store, task.id, task.bundle, force=False)
        await self.workers.run(operation)
        await first(self.loop, task.ended, END_SECONDS)  # one that was only created is killed now
        del self.tasks[task.id]
        self.removed.note(task)
        erase(self.journal, task)
        shared.follow_log(self)
        values = {"container_id": task.id, **task.result()}
        self.publisher.publish("/tasks/delete", "TaskDelete", m.TASK_DELETE, values)

    # signals and limits

    async def kill(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a signal."""
        task = self.task(request["id"])
        number = request["signal"]
        process = task.process(request["exec_id"])
        if number == SIGKILL and process.pid:
            self.loop.spawn(self.lifetimes.bury(process, task))
        if process is task and task.beginning is not None and number == SIGKILL:
            self.loop.spawn(self.withdrawals.end_start(task))
        by_worker = process is task and (
            request["all"] or task.shared_pid or task.paused or (number == SIGKILL and held(task))
        )
        if not by_worker:
            if process.starting and not process.pid:
                await process.begun  # a signal that came first is not lost
            self.lifetimes.kill(process, number)
            return {}
        operation = operations.signal_container(
            task.store, task.id, number, everything=request["all"]
        )
        try:
            await self.workers.run(operation)
        except RpcError as error:
            raise gone(error) from None
        return {}

    async def pause(self, request: dict[str, Any]) -> dict[str, Any]:
        """Freeze all processes."""
        return await self._freeze(request, frozen=True)

    async def resume(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let them go on."""
        return await self._freeze(request, frozen=False)

    async def _freeze(self, request: dict[str, Any], *, frozen: bool) -> dict[str, Any]:
        task = self.task(request["id"])
        if task.status != RUNNING or task.paused == frozen:
            what = "cannot pause" if frozen else "cannot resume"
            status = "paused" if task.paused else "running"
            status = status if task.status == RUNNING else "not running"
            raise RpcError(ttrpc.FAILED_PRECONDITION, f"{what} container {task.id}: it is {status}")
        await self.workers.run(operations.freeze_container(task.store, task.id, frozen=frozen))
        task.paused = frozen
        topic, name = ("paused", "TaskPaused") if frozen else ("resumed", "TaskResumed")
        self.publisher.publish(f"/tasks/{topic}", name, m.TASK_ID, {"container_id": task.id})
        return {}

    async def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change the container's limits."""
        task = self.task(request["id"])
        if not request["resources"]:
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"update {task.id}: no resources are given")
        resources = request["resources"]["value"]
        await self.workers.run(operations.update_container(task.store, task.id, resources))
        return {}

    # questions

    async def state(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a process is doing."""
        task = self.task(request["id"])
        process = task.process(request["exec_id"])
        status = process.status
        if status == RUNNING and task.paused:
            status = PAUSED
        return process.document(task.bundle, status)

    async def wait(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer when the process has ended."""
        process = self.task(request["id"]).process(request["exec_id"])
        await process.ended
        return process.result()

    async def pids(self, request: dict[str, Any]) -> dict[str, Any]:
        """The processes of the container."""
        task = self.task(request["id"])
        names = {e.pid: e.exec_id for e in task.executions.values() if e.pid}
        found = []
        for pid in self.lifetimes.pids(task):
            info = None
            if pid in names:
                value = m.PROCESS_DETAILS.encode({"exec_id": names[pid]})
                info = {"type_url": m.PROCESS_DETAILS_URL, "value": value}
            found.append({"pid": pid, "info": info})
        return {"processes": found}

    async def stats(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the container's cgroup has counted."""
        from ociruntime.shim.stats import read_stats

        task = self.task(request["id"])
        if task.placement is None:
            text = f"container {task.id} has no cgroup of its own"
            raise RpcError(ttrpc.FAILED_PRECONDITION, text)
        url, value = read_stats(task.placement)
        return {"stats": {"type_url": url, "value": value}}

    async def connect(self, request: dict[str, Any]) -> dict[str, Any]:
        """Who we are."""
        task = self.tasks.get(request["id"])
        return {"shim_pid": os.getpid(), "task_pid": task.pid if task else 0}

    # streams

    async def resize_pty(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change the size of a terminal."""
        process = self.task(request["id"]).process(request["exec_id"])
        process.resize(request["width"], request["height"])
        return {}

    async def close_io(self, request: dict[str, Any]) -> dict[str, Any]:
        """The client sends no more input."""
        process = self.task(request["id"]).process(request["exec_id"])
        if request["stdin"]:
            process.close_input()
            note(self.journal, process)
        return {}

    async def end(self, request: dict[str, Any]) -> dict[str, Any]:
        """Shutdown: end the daemon, unless it still has containers, or was told to expect some."""
        self.reservations.drop(request["id"])
        self.end_if_idle()
        return {}

    def end_if_idle(self) -> None:
        """Shut down once there is nothing left to do."""
        if not self.ending and not self.tasks and not self.reservations:
            self.ending = True
            self.shutdown()


def _wanted(request: dict[str, Any]) -> Wanted:
    return Wanted(
        request["stdin"], request["stdout"], request["stderr"], terminal=request["terminal"]
    )


METHODS: dict[str, tuple[Message, Message, Method]] = {
    "Create": (m.CREATE, m.PID, Tasks.create),
    "Start": (m.PROCESS_KEY, m.PID, Tasks.start),
    "State": (m.PROCESS_KEY, m.STATE, Tasks.state),
    "Delete": (m.PROCESS_KEY, m.DELETE_RESPONSE, Tasks.delete),
    "Checkpoint": (m.CHECKPOINT, m.EMPTY, checkpoints.checkpoint),
    "Exec": (m.EXEC, m.EMPTY, Tasks.execute),
    "ResizePty": (m.RESIZE_PTY, m.EMPTY, Tasks.resize_pty),
    "CloseIO": (m.CLOSE_IO, m.EMPTY, Tasks.close_io),
    "Kill": (m.KILL, m.EMPTY, Tasks.kill),
    "Pids": (m.PROCESS_KEY, m.PIDS_RESPONSE, Tasks.pids),
    "Pause": (m.PROCESS_KEY, m.EMPTY, Tasks.pause),
    "Resume": (m.PROCESS_KEY, m.EMPTY, Tasks.resume),
    "Update": (m.UPDATE, m.EMPTY, Tasks.update),
    "Wait": (m.PROCESS_KEY, m.WAIT_RESPONSE, Tasks.wait),
    "Stats": (m.PROCESS_KEY, m.STATS_RESPONSE, Tasks.stats),
    "Connect": (m.PROCESS_KEY, m.CONNECT_RESPONSE, Tasks.connect),
    "Shutdown": (m.SHUTDOWN, m.EMPTY, Tasks.end),
}
SERVICES: dict[str, dict[str, tuple[Message, Message, Method]]] = {
    "containerd.task.v2.Task": METHODS,
    "containerd.task.v3.Task": METHODS,
    shared.SERVICE: shared.METHODS,
}

"""From the moment a process exists to the moment its end was told."""

from __future__ import annotations

import time

from ociruntime import hostos as os
from ociruntime.cgroups import open_group
from ociruntime.cgroups.frozen import holds_back
from ociruntime.cgroups.path import Placement
from ociruntime.errors import NOT_RUNNING, PROCESS_FINISHED, OciError
from ociruntime.kernel import kept
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import STARTED, has_ended, open_process, start_time, stat_fields
from ociruntime.resident.exits import shell_status
from ociruntime.resident.loop import Future, first
from ociruntime.shim import messages as m
from ociruntime.shim import operations, ttrpc
from ociruntime.shim.records import note
from ociruntime.shim.task import STOPPED, Process, Task
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.resident.exits import Exits
    from ociruntime.resident.loop import Loop
    from ociruntime.shim.events import Publisher
    from ociruntime.shim.exits import KeptExits
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.stdio import Streams
    from ociruntime.shim.worker import Workers

SIGKILL = 9
# How long the end of a container waits for its output to be read (seconds): a reader that is busy,
# or away, must not hide it. All that was inside is dead, so no output comes any more.
OUTPUT_SECONDS = 2.0
# How often we look whether it was (seconds).
OUTPUT_INTERVAL = 0.005
# What callers look for in an error of kill; NotFound is what they make of it.
GONE = (NOT_RUNNING, PROCESS_FINISHED, "no such process", "does not exist")


class Lifetimes:
    """Exits, kills and out-of-memory events of processes."""

    def __init__(
        self,
        loop: Loop,
        workers: Workers,
        exits: Exits,
        publisher: Publisher,
        journal: NoJournal,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._workers = workers
        self._exits = exits
        self._publisher = publisher

    def follow(self, process: Process, task: Task) -> None:
        """The process has a pid: be there when it ends."""
        if self._journal.lasting:
            process.started = start_time(process.pid)
            note(self._journal, process)
        self._exits.expect(process.pid, self._ender(process, task))

    def adopt(self, process: Process, task: Task, exits: KeptExits) -> None:
        """The same for one that was a predecessor's."""
        process.adopted = True
        exits.adopt(process.pid, self._ender(process, task))

    def _ender(self, process: Process, task: Task) -> Callable[[int, int], None]:
        def ended(code: int, moment: int) -> None:
            process.record = shell_status(code), moment
            note(self._journal, process)
            self.advance(process, task)

        return ended

    def unknown(self, process: Process, task: Task, status: int) -> None:
        """It has ended, and nobody knows how."""
        self._ender(process, task)(status, time.time_ns())

    def created(self, task: Task) -> None:
        """Remember what the container's state says of its cgroup, and watch that."""
        try:
            container = task.store.open(task.id)
        except OciError:
            return  # somebody deletes it behind our back
        data = container.data
        container.close()
        task.shared_pid = bool(data.get("shared_pid"))
        saved = data.get("cgroup")
        if saved:
            from ociruntime.shim.oom import watch

            task.placement = Placement.from_state(saved)
            task.watch = watch(self._loop, task.placement, lambda: self._oom(task))

    def unwatch(self, task: Task) -> None:
        """Stop listening for out-of-memory events."""
        if task.watch is not None:
            task.watch.close()
            task.watch = None

    def _oom(self, task: Task) -> None:
        if task.starting:  # a program may be faster than what follows its start
            task.early_ooms += 1
            return
        self._publisher.publish("/tasks/oom", "TaskOOM", m.TASK_ID, {"container_id": task.id})

    def started(self, process: Process, task: Task) -> None:
        """Start has told what it did: what came meanwhile may be told now."""
        process.starting = False
        note(self._journal, process)
        if process is task:
            for _ in range(task.early_ooms):
                self._oom(task)
            task.early_ooms = 0
        self.advance(process, task)
        if process is not task:
            self.advance(task, task)

    def advance(self, process: Process, task: Task) -> None:
        """Tell of the end of ``process``, if it has come and its turn as well."""
        if process.record is None or process.starting or process.status == STOPPED:
            return
        if task.watch is not None:
            task.watch.check()  # the kernel's word may come later than the end that it caused
        if process is task:
            if task.shared_pid:
                # Nothing else ends them (containerd's clients rely on it).
                self._loop.spawn(self._kill_rest(task))
            if task.busy() or not self._is_handed_on(task):
                return
        process.end(*process.record)
        self._tell(process)
        note(self._journal, process)
        process.ended.set()
        if process is not task:
            self.advance(task, task)

    def _is_handed_on(self, task: Task) -> bool:
        """Whether a container's last output was read, or has had time enough to be; if not, its end
        has its turn then.

        Who hears of the end may close what it reads from: the client of containerd 1.6 does
        (task.Delete), and loses what comes later.
        """
        if task.last_output is None:
            streams = task.streams
            if streams is None:
                return True
            streams.process_ended()
            task.last_output = Future()
            if streams.are_read():
                task.last_output.set()
            else:
                self._loop.spawn(self._wait_for(streams, task.last_output, task))
        return task.last_output.done

    async def _wait_for(self, streams: Streams, output: Future, task: Task) -> None:
        end = time.monotonic() + OUTPUT_SECONDS
        await first(self._loop, streams.drained(), OUTPUT_SECONDS)
        while not streams.are_read() and time.monotonic() < end:
            await self._loop.sleep(OUTPUT_INTERVAL)
        output.set()
        self.advance(task, task)

    async def _kill_rest(self, task: Task) -> None:
        task.shared_pid = False  # once
        operation = operations.signal_container(task.store, task.id, SIGKILL, everything=True)
        try:
            await self._workers.run(operation)
        except RpcError:
            pass  # they are gone

    def _tell(self, process: Process) -> None:
        values = {
            "container_id": process.id,
            "id": process.exec_id or process.id,
            **process.result(),
        }
        self._publisher.publish("/tasks/exit", "TaskExit", m.TASK_EXIT, values)

    # signals

    def kill(self, process: Process, number: int) -> None:
        """Signal one process; raises ``RpcError``."""
        if process.record is not None or process.status == STOPPED:
            raise RpcError(ttrpc.NOT_FOUND, f"{PROCESS_FINISHED}: not found")
        if not process.pid:
            text = f"process {process.exec_id} was not started yet"
            raise RpcError(ttrpc.FAILED_PRECONDITION, text)
        try:
            _signal(process, number)
        except ProcessLookupError:
            raise RpcError(ttrpc.NOT_FOUND, f"{PROCESS_FINISHED}: not found") from None
        except OSError as error:
            raise RpcError(ttrpc.INVALID_ARGUMENT, f"signal {number}: {error.strerror}") from None

    async def bury(self, process: Process, task: Task) -> None:
        """A killed process is a zombie that we are not told of while somebody traces it: when its
        tracer has had time enough, its end is told all the same.
        """
        if await first(self._loop, process.ended, kept.KEPT_SECONDS) or process.record is not None:
            return
        fields = stat_fields(process.pid)
        if fields and has_ended(fields) and _is_its(fields, process):
            code, status = kept.how_it_ended(fields)
            status += 128 if code == kept.KILLED else 0
            process.record = status, time.time_ns()
            self.advance(process, task)

    def pids(self, task: Task) -> list[int]:
        """The container's processes; never empty: containerd from 1.7 on takes a container without
        any for one that was never made when it starts anew, and its exit would be lost.
        """
        found: list[int] = []
        if task.placement is not None:
            group = open_group(Kernel(), task.placement)
            try:
                found = group.all_procs()
            finally:
                group.close()
        return found or [task.pid]


def _signal(process: Process, number: int) -> None:
    kernel = Kernel()
    if not process.adopted:
        # A child of ours that is not reaped yet: the number is still its.
        kernel.kill(process.pid, number)
        return
    pidfd = open_process(process.pid, process.started)  # the keeper may have reaped it
    if pidfd < 0:
        raise ProcessLookupError
    try:
        kernel.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def _is_its(fields: list[bytes], process: Process) -> bool:
    """Whether these ``stat_fields`` of its pid are the process's."""
    return not process.adopted or int(fields[STARTED]) == process.started


def held(task: Task) -> bool:
    """Whether somebody has frozen what is in the container, or may have: SIGKILL alone ends none of
    that on cgroup v1.
    """
    try:
        return task.placement is not None and holds_back(Kernel(), task.placement.paths)
    except OSError:
        return True  # who looks closer will tell


def gone(error: RpcError) -> RpcError:
    """``error`` of a kill as containerd's clients expect it: NotFound when there is no process."""
    if any(text in str(error) for text in GONE):
        return RpcError(ttrpc.NOT_FOUND, f"{error}: not found")
    return error

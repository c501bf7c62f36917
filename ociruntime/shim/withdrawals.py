"""Containers whose Create was interrupted: what it had begun is taken back, or stays deletable;
and those that are killed while Start is at work.

Create ends before its work does when the time that its client granted is over (the process of the
container may be kept from going on: by a neighbour that stops or traces it, by a frozen cgroup, by
a file system that does not answer), or when Delete comes first.
"""

from __future__ import annotations

import time

from ociruntime.process.hookguard import GRACE_SECONDS
from ociruntime.resident.loop import Job, first
from ociruntime.shim import operations, ttrpc
from ociruntime.shim.records import erase
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.resident.loop import Loop
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.task import Task
    from ociruntime.shim.worker import Workers

# How long one attempt may take (seconds).
SECONDS = 10.0
KILLED = 128 + 9


class Withdrawals:
    """Takes containers out of ``tasks`` that are not, or not yet, made."""

    __slots__ = ("_journal", "_loop", "_tasks", "_workers")

    def __init__(
        self, loop: Loop, workers: Workers, tasks: dict[str, Task], journal: NoJournal
    ) -> None:
        self._journal = journal
        self._loop = loop
        self._workers = workers
        self._tasks = tasks

    async def take_back(self, task: Task) -> None:
        """Remove what an interrupted Create has left; the id is free then.

        A failure is a warning; Delete tries it again.
        """
        async with task.removal:
            if self._tasks.get(task.id) is not task:
                return  # somebody else has
            operation = operations.delete_container(task.store, task.id, task.bundle, force=True)
            job = Job(self._workers.run(operation))
            if not await first(self._loop, job.result, SECONDS):
                job.cancel(RpcError(ttrpc.DEADLINE_EXCEEDED, f"not done in {SECONDS:g} seconds"))
            try:
                await job.result
            except RpcError as error:
                text = f"{task.id}: what an interrupted Create has left is still there: {error}"
                self._workers.log.warning(text)
                return
            del self._tasks[task.id]
            erase(self._journal, task)

    async def end_start(self, task: Task) -> None:
        """Start of a container that is killed meanwhile waits for no hook any longer than that one
        may need to put its things in order.
        """
        beginning = task.beginning
        if not await first(self._loop, task.begun, GRACE_SECONDS) and beginning is not None:
            text = f"{task.id}: it was killed while its hooks were at work"
            beginning.cancel(RpcError(ttrpc.ABORTED, text))

    async def delete(self, task: Task) -> dict[str, Any]:
        """Delete's answer for a container without a process; raises ``RpcError``."""
        if task.making is not None:
            text = f"{task.id}: it was deleted before it was created"
            task.making.cancel(RpcError(ttrpc.ABORTED, text))
        await self.take_back(task)
        if self._tasks.get(task.id) is task:
            text = f"{task.id}: what is left of it cannot be removed yet; try again"
            raise RpcError(ttrpc.UNAVAILABLE, text)
        task.end(KILLED, time.time_ns())
        return task.result()

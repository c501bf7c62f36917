"""In which order the shim tells what happened to a container."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.resident.loop import Future, Loop
from ociruntime.shim import lifetimes as module
from ociruntime.shim.journal import NoJournal
from ociruntime.shim.lifetimes import Lifetimes
from ociruntime.shim.task import STOPPED, Task
from tests.support.patience import PATIENCE


class Told:
    """A publisher that remembers the topics."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def publish(self, topic: str, *_: object) -> None:
        self.topics.append(topic)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def lifetimes(told: Told) -> Lifetimes:
    return Lifetimes(*cast("Any", (None, None, None, told, NoJournal())))


def make_task(lifetimes: Lifetimes, monkeypatch: pytest.MonkeyPatch) -> tuple[Task, Any]:
    """A task that was created, and what the kernel calls when it has killed in its cgroup."""
    data = {"cgroup": {"manager": "cgroupfs"}}
    container = SimpleNamespace(data=data, close=lambda: None)
    store = SimpleNamespace(open=lambda _: container)
    task = Task("a", "/bundle", *cast("Any", (None, store, None)))
    killed = []

    def watch(_loop: object, _placement: object, oom: Any) -> Any:
        killed.append(oom)
        return SimpleNamespace(check=lambda: None, close=lambda: None)

    monkeypatch.setattr("ociruntime.shim.oom.watch", watch)
    monkeypatch.setattr(module.Placement, "from_state", lambda _: None)
    lifetimes.created(task)
    return task, killed[0]


def test_out_of_memory_while_start_works(
    lifetimes: Lifetimes, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may be killed before Start has told that it runs, and ended."""
    task, killed = make_task(lifetimes, monkeypatch)
    task.starting = True
    killed()
    task.record = 137, 1
    assert told.topics == []
    told.publish("/tasks/start")
    lifetimes.started(task, task)
    assert told.topics == ["/tasks/start", "/tasks/oom", "/tasks/exit"]
    lifetimes.started(task, task)
    assert told.topics.count("/tasks/oom") == 1


def test_out_of_memory_of_what_runs(
    lifetimes: Lifetimes, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, killed = make_task(lifetimes, monkeypatch)
    killed()
    killed()
    assert told.topics == ["/tasks/oom"] * 2


class Output:
    """Streams whose reader takes ``unread`` bytes out a moment after they were ``handed_on``."""

    def __init__(self, loop: Loop) -> None:
        self.handed_on = Future()
        self.unread = 2
        self.ended = 0
        loop.spawn(self._read(loop))

    async def _read(self, loop: Loop) -> None:
        await self.handed_on
        await loop.sleep(0.02)
        self.unread = 0

    def process_ended(self) -> None:
        self.ended += 1

    def drained(self) -> Future:
        return self.handed_on

    def are_read(self) -> bool:
        return self.handed_on.done and not self.unread


@pytest.mark.parametrize("reader", ["reads", "is away"])
def test_the_end_comes_after_the_output(
    told: Told, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    """Of a container's end nobody hears before its last output was read, or had time enough."""
    monkeypatch.setattr(module, "OUTPUT_SECONDS", 0.05 if reader == "is away" else PATIENCE)
    loop = Loop()
    lifetimes = Lifetimes(*cast("Any", (loop, None, None, told, NoJournal())))
    task, _ = make_task(lifetimes, monkeypatch)
    output = Output(loop)
    task.streams = cast("Any", output)
    task.record = 3, 1
    seen = []

    async def scenario() -> None:
        lifetimes.advance(task, task)
        lifetimes.advance(task, task)  # another process of it has ended
        seen.append((list(told.topics), task.status == STOPPED))
        if reader == "reads":
            output.handed_on.set()
        await task.ended
        seen.append((list(told.topics), task.exit_status == 3))
        loop.stop()

    loop.spawn(scenario())
    loop.run()
    assert seen == [([], False), (["/tasks/exit"], True)]
    assert output.unread == (0 if reader == "reads" else 2)
    assert output.ended > 0  # or a terminal would never be at its end

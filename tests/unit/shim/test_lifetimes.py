"""In which order the shim tells what happened to a container."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ociruntime.shim import lifetimes as module
from ociruntime.shim.journal import NoJournal
from ociruntime.shim.lifetimes import Lifetimes
from ociruntime.shim.task import Task


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

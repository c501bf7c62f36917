"""The journal: what is in it when its writer dies at any moment, and how large it gets."""

from __future__ import annotations

import marshal
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ociruntime.resident.loop import Loop
from ociruntime.shim import journal as module
from ociruntime.shim import records
from ociruntime.shim.journal import Journal, read
from ociruntime.shim.options import ShimOptions
from ociruntime.shim.records import REMOVED, Removed, erase, note
from ociruntime.shim.stdio import Wanted
from ociruntime.shim.task import Execution, Task
from ociruntime.state.store import Store


class Keeper:
    """The other end: what it was told."""

    def __init__(self) -> None:
        self.end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self.lost: list[str] = []
        self.kept: dict[str, int] = {}
        self.journal = Journal.new(theirs, self.lost.append)
        self.theirs = theirs

    def words(self) -> list[str]:
        """Read all messages; their first words."""
        found = []
        with suppress(BlockingIOError):
            while True:
                data, fds, _, _ = socket.recv_fds(self.end, 1 << 17, 250)
                if not data:
                    return found
                word, argument = marshal.loads(data)
                found.append(word)
                if word == module.KEEP:
                    self.kept.update(zip(argument, fds, strict=True))
        return found

    def close(self) -> None:
        self.words()
        for fd in (self.journal.fd, *self.kept.values()):
            os.close(fd)
        self.end.close()
        self.theirs.close()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    yield made
    made.close()


def test_the_last_one_counts(keeper: Keeper) -> None:
    keeper.journal.put("a", {"pid": 1, "name": "\udcff", "spec": b"\0"})
    keeper.journal.put("b", (1, 2))
    keeper.journal.put("b", None)
    keeper.journal.put("c", None)
    assert read(keeper.journal.fd) == {"a": {"pid": 1, "name": "\udcff", "spec": b"\0"}}
    keeper.words()
    # The keeper's is the same memory.
    assert read(keeper.kept[module.RECORDS]) == read(keeper.journal.fd)


@given(st.integers(min_value=0, max_value=200))
def test_a_writer_that_dies_in_between(length: int) -> None:
    """What is not whole never was; what came before is there."""
    made = Keeper()
    try:
        made.journal.put("first", 1)
        whole = os.fstat(made.journal.fd).st_size
        made.journal.put("second", "x" * 100)
        size = os.fstat(made.journal.fd).st_size
        os.ftruncate(made.journal.fd, min(size, whole + length))
        expected = {"first": 1}
        if whole + length >= size:
            expected["second"] = "x" * 100  # type: ignore[assignment]
        assert read(made.journal.fd) == expected
    finally:
        made.close()


def test_it_does_not_grow_for_ever(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL", 10_000)
    keeper.journal._limit = module.SMALL
    keeper.journal.put("stays", 7)
    for number in range(2000):
        keeper.journal.put(f"request/{number}", b"x" * 50)
        keeper.journal.put(f"request/{number}", None)
        assert os.fstat(keeper.journal.fd).st_size <= module.SMALL + 200
    assert read(keeper.journal.fd) == {"stays": 7}
    words = keeper.words()
    assert set(words) == {module.KEEP}
    assert len(words) > 1
    assert read(keeper.kept[module.RECORDS]) == {"stays": 7}


def test_many_descriptors(keeper: Keeper) -> None:
    """More than one message takes."""
    keeper.journal.keep({f"fd{number}": 0 for number in range(module.AT_ONCE + 5)})
    keeper.words()
    assert len(keeper.kept) == module.AT_ONCE + 5 + 1


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_a_keeper_that_is_lost(keeper: Keeper, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The daemon goes on, and says it once."""
    monkeypatch.setattr(module, "PATIENCE", 1)
    if how == "dies":
        keeper.end.shutdown(socket.SHUT_RDWR)
    else:
        while not keeper.lost:
            keeper.journal.release("x" * 10_000)
    for _ in range(3):
        keeper.journal.release("x")
        keeper.journal.put("x", 1)
    assert len(keeper.lost) == 1
    assert module.LOST in keeper.lost[0]


def test_numbers_are_later_than_a_predecessors(keeper: Keeper) -> None:
    first = keeper.journal.number()
    again = Journal(keeper.theirs, os.dup(keeper.journal.fd), keeper.lost.append)
    assert again.number() > first
    os.close(again.fd)


def test_what_was_erased_stays_so(keeper: Keeper) -> None:
    """A process may be told to have ended after its container was removed."""
    task = Task("c", "/bundle", wanted(), Store("/nowhere"), ShimOptions({}))
    execution = Execution("c", "e", wanted(), b"{}")
    task.executions["e"] = execution
    for process in (task, execution):
        note(keeper.journal, process)
    assert len(read(keeper.journal.fd)) == 2
    erase(keeper.journal, task)
    for process in (task, execution):
        process.end(137, 1)
        note(keeper.journal, process)
    assert read(keeper.journal.fd) == {}


def wanted() -> Wanted:
    return Wanted("", "", "", terminal=False)


def test_what_delete_has_answered_is_known_to_a_successor(keeper: Keeper) -> None:
    """The daemon may die after it has removed a process, and before it has told."""
    task = Task("c", "/bundle", wanted(), Store("/nowhere"), ShimOptions({}))
    note(keeper.journal, task)
    task.end(3, 1_000_000_001)
    Removed(Loop(), keeper.journal).note(task)
    erase(keeper.journal, task)
    successor = Removed(Loop(), keeper.journal)
    for key, answer in read(keeper.journal.fd).items():
        assert key.startswith(REMOVED)
        successor.know(key, answer)
    assert successor.answer("c", "") == task.result()
    assert successor.answer("c", "e") is successor.answer("d", "") is None


def test_what_delete_has_answered_is_forgotten(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "ANSWER_SECONDS", 0.001)
    loop = Loop()
    removed = Removed(loop, keeper.journal)
    removed.note(Task("c", "/bundle", wanted(), Store("/nowhere"), ShimOptions({})))

    async def look() -> None:
        while removed.answer("c", "") is not None:
            await loop.sleep(0.001)
        loop.stop()

    loop.spawn(look())
    loop.run()
    assert read(keeper.journal.fd) == {}

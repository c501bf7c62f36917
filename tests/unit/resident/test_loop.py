"""The shim's loop: turns, locks, jobs that are cancelled."""

from __future__ import annotations

import errno
import os
import socket
import time
from select import EPOLLIN

import pytest

from ociruntime.kernel import _sys
from ociruntime.resident import loop as loop_module
from ociruntime.resident.loop import Future, Job, Lock, Loop, first
from ociruntime.shim import ttrpc
from tests.support.patience import PATIENCE

MANY = 5000


class GaveUpError(Exception):
    """What the tests cancel with."""


def test_waking_many_is_not_deep() -> None:
    """Each of them wakes the next one: no call for each on the stack."""
    lock, gate = Lock(), Future()
    served: list[int] = []

    async def one(number: int) -> None:
        async with lock:
            await gate
            served.append(number)

    jobs = [Job(one(number)) for number in range(MANY)]
    gate.set()
    assert served == list(range(MANY))
    assert all(job.result.done for job in jobs)


def test_cancelling_raises_where_it_waits_and_cleans_up() -> None:
    steps: list[str] = []
    never = Future()

    async def work() -> None:
        try:
            await never
        except GaveUpError:
            steps.append("told")
            raise
        finally:
            steps.append("cleaned")

    job = Job(work())
    job.cancel(GaveUpError())
    assert steps == ["told", "cleaned"]
    assert job.cancelled
    never.set()  # comes too late, and resumes nobody
    with pytest.raises(GaveUpError):
        job.result.__await__().__next__()
    job.cancel(GaveUpError())  # without effect


def test_what_has_ended_cannot_be_cancelled() -> None:
    async def work() -> int:
        return 7

    job = Job(work())
    job.cancel(GaveUpError())
    assert not job.cancelled
    assert job.result.value == 7


def test_who_is_cancelled_while_waiting_for_a_lock_leaves_the_queue() -> None:
    lock, gate = Lock(), Future()
    served: list[int] = []

    async def one(number: int) -> None:
        async with lock:
            served.append(number)
            await gate

    jobs = [Job(one(number)) for number in range(3)]
    jobs[1].cancel(GaveUpError())
    gate.set()
    assert served == [0, 2]


def test_cancelling_forgets_the_descriptor() -> None:
    """Its number may be another's soon."""
    loop = Loop()
    for _ in range(2):
        ours, theirs = os.pipe()
        job = Job(_wait_for(loop, ours))
        job.cancel(GaveUpError())
        os.close(ours)
        os.close(theirs)
    ours, theirs = os.pipe()
    try:
        job = Job(_wait_for(loop, ours))
        os.write(theirs, b"!")
        job.result.when_done(loop.stop)
        loop.run()
        assert job.result.done
    finally:
        os.close(ours)
        os.close(theirs)


async def _wait_for(loop: Loop, fd: int) -> None:
    await loop.ready(fd, EPOLLIN)


def test_first() -> None:
    loop, early = Loop(), Future()
    found: list[bool] = []

    async def scenario() -> None:
        early.set()
        found.append(await first(loop, early, 1000))
        found.append(await first(loop, Future(), 0.01))
        loop.stop()

    loop.spawn(scenario())
    loop.run()
    assert found == [True, False]
    assert not loop._timers, "a timer that nobody waits for"


def test_a_listener_rests_when_there_are_too_many_open_files() -> None:
    """Who wants to connect keeps the listener readable: without a rest that is a busy loop."""

    class Full(socket.socket):
        attempts = 0

        def _accept(self) -> tuple[int, object]:
            Full.attempts += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    loop = Loop()
    listener = Full(socket.AF_UNIX)
    listener.bind(b"\0ocirt-test-full-%d" % os.getpid())
    listener.listen()

    server = ttrpc.Server(loop, listener, lambda _end: None)
    client = socket.socket(socket.AF_UNIX)
    client.connect(listener.getsockname())
    began = time.monotonic()

    async def end() -> None:
        while Full.attempts < 3 and time.monotonic() - began < PATIENCE:
            await loop.sleep(0.05)
        loop.stop()

    loop.spawn(end())
    loop.run()
    elapsed = time.monotonic() - began
    server.close()
    client.close()
    assert 3 <= Full.attempts <= 3 + elapsed / ttrpc.REST


@pytest.mark.parametrize("rests", [True, False])
def test_it_rests_when_nothing_happens(rests: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens meanwhile ends that: descriptors and timers."""
    rested: list[float] = []

    def rest(fd: int, seconds: float) -> None:
        rested.append(seconds)
        if len(rested) == 1:
            os.write(writable, b"x")
        _sys.rest(b"", fd, int(seconds * 1e9) if seconds >= 0 else -1)

    monkeypatch.setattr(loop_module, "rest", rest)
    monkeypatch.setattr(loop_module, "REST_SECONDS", 0.0)
    readable, writable = os.pipe()
    loop = Loop(rests=rests)
    seen: list[bytes] = []

    async def wait() -> None:
        await loop.ready(readable, EPOLLIN)
        seen.append(os.read(readable, 1))
        await loop.sleep(0.01)
        loop.stop()

    loop.spawn(wait())
    if not rests:
        os.write(writable, b"x")
    loop.run()
    assert seen == [b"x"]
    assert rested[:1] == ([-1.0] if rests else [])
    os.close(readable)
    os.close(writable)


def test_a_client_who_asks_for_little_goes_before_those_who_ask_for_much() -> None:
    loop = Loop()
    served: list[str] = []
    ends = {name: os.pipe() for name in ("much", "little", "ours")}

    def serve(name: str) -> None:
        served.append(name)
        os.read(ends[name][0], 1)
        if len(served) == 1:
            began = time.monotonic()
            while time.monotonic() - began < 2 * loop_module.TURN_SECONDS:
                pass
            for _, writable in ends.values():
                os.write(writable, b"x")
        elif name == "much":
            loop.stop()

    for name, (readable, _) in ends.items():
        watch = loop.watch if name == "ours" else loop.watch_client
        watch(readable, EPOLLIN, lambda _, name=name: serve(name))  # type: ignore[misc]
    os.write(ends["much"][1], b"x")
    loop.run()
    assert served == ["much", "ours", "little", "much"]
    for pair in ends.values():
        for fd in pair:
            os.close(fd)


def test_a_long_turn_ends_before_everybody_was_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has become ready meanwhile, and has asked for less, is next."""
    monkeypatch.setattr(loop_module, "TURN_SECONDS", -1.0)
    loop = Loop()
    served: list[int] = []
    pipes = [os.pipe() for _ in range(3)]

    def serve(number: int) -> None:
        served.append(number)
        os.read(pipes[number][0], 1)
        if not number:
            os.write(pipes[2][1], b"x")
        if len(served) == len(pipes):
            loop.stop()

    for number, (readable, _) in enumerate(pipes):
        watch = loop.watch if number == 2 else loop.watch_client
        watch(readable, EPOLLIN, lambda _, number=number: serve(number))  # type: ignore[misc]
    for number in (0, 1):
        os.write(pipes[number][1], b"x")
    loop.run()
    assert served == [0, 2, 1]
    for pair in pipes:
        for fd in pair:
            os.close(fd)

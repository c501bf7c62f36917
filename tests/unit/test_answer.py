"""What threads of the library wait for: told once, to everybody, whatever interrupts them."""

from __future__ import annotations

import itertools
import queue
import signal
import threading

import pytest

from ociruntime.library.answer import PendingAnswer
from tests.support.patience import PATIENCE


def test_told_to_all_that_wait() -> None:
    answer = PendingAnswer[int]()
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()
    wait = lambda: heard.put(answer.result(PATIENCE))  # noqa: E731
    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    answer.tell(7)
    for thread in threads:
        thread.join(PATIENCE)
    assert [heard.get_nowait() for _ in threads] == [7] * 5
    assert answer.done
    assert answer.result(0) == 7


def test_failures_are_raised() -> None:
    answer = PendingAnswer[int]()
    answer.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        answer.result()
    assert isinstance(answer.error(), ValueError)


def test_patience_ends() -> None:
    answer = PendingAnswer[int]()
    for seconds in (0, -1, 0.001):
        with pytest.raises(TimeoutError):
            answer.result(seconds)
    answer.tell(1)
    assert answer.result(1e30) == 1


def test_calls_come_once() -> None:
    answer, called = PendingAnswer[int](), list[str]()
    answer.call(lambda: called.append("before"))
    answer.tell(1)
    answer.call(lambda: called.append("after"))
    assert called == ["before", "after"]


def test_interrupted_waiting_does_not_stop_who_tells() -> None:
    """A signal's handler that raises, at any instruction of a wait in the main thread."""
    asked: queue.SimpleQueue[PendingAnswer[int] | None] = queue.SimpleQueue()
    told = list[int]()

    def tell() -> None:
        for number in itertools.count():
            answer = asked.get()
            if answer is None:
                return
            answer.tell(number)
            told.append(number)

    class Interrupted(Exception):
        pass

    waiting = False

    def interrupt(number: int, frame: object) -> None:
        if waiting:  # else it comes late: the wait has ended
            raise Interrupted

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    previous = signal.signal(signal.SIGALRM, interrupt)
    turns = 3000
    try:
        for turn in range(turns):
            answer = PendingAnswer[int]()
            asked.put(answer)
            try:
                waiting = True
                signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + turn % 60))
                answer.result()
                waiting = False
            except Interrupted:
                waiting = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    asked.put(None)
    teller.join(PATIENCE)
    assert told == list(range(turns))

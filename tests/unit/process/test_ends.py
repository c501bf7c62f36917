"""What is said of processes that ended without a word, or that somebody holds up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ociruntime.process import patience as module
from ociruntime.process.executor import how_it_ended
from ociruntime.process.patience import ENDED, Patience


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (None, "; it is not dead, and says nothing"),
        ((1, 3), "; it exited with status 3"),
        ((2, 15), "; it was killed by signal 15"),
        (
            (2, 9),
            "; it was killed by signal 9; a memory limit or the host's memory may be too small",
        ),
    ],
)
def test_how_it_ended(ended: tuple[int, int] | None, words: str) -> None:
    kernel = SimpleNamespace(
        ends_within=lambda _fd, _seconds: ended is not None, wait_pidfd=lambda _fd: ended
    )
    run: Any = SimpleNamespace(pidfd=5, pid=77, kernel=kernel)
    assert how_it_ended(run) == words
    assert run.pid == (0 if ended else 77)


def test_nothing_is_said_before_there_is_a_process() -> None:
    run: Any = SimpleNamespace(pidfd=-1)
    assert how_it_ended(run) == ""


def test_the_child_that_is_held_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that runs nor one that has ended keeps anybody."""
    states = {11: "", 12: ENDED, 13: "stopped by a signal"}
    monkeypatch.setattr(module, "children_of", lambda _pid: list(states))
    monkeypatch.setattr(module, "why_held", states.__getitem__)
    held = Patience(10, "the init")._held_child()
    assert held == (
        "stopped by a signal", "process 13, which the init has executed and waits for,"
    )  # fmt: skip
    del states[13]
    assert Patience(10, "the init")._held_child() == ("", "")

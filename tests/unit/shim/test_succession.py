"""What a successor says of processes that have ended while nobody looked."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from ociruntime.kernel.pids import STARTED, stat_fields
from ociruntime.resident.loop import Loop
from ociruntime.shim import succession
from ociruntime.shim.succession import UNKNOWN, Succession


def test_a_keeper_that_has_not_looked_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not reaped is a zombie: its status is not lost."""
    monkeypatch.setattr(succession, "WORD_SECONDS", 0.0)
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    loop = Loop()
    process: Any = SimpleNamespace(pid=pid, id="c", exec_id="", record=None, status=0)
    process.started = int(stat_fields(pid)[STARTED])
    told: list[int] = []
    tasks: Any = SimpleNamespace(
        loop=loop,
        workers=SimpleNamespace(log=SimpleNamespace(warning=lambda _: None)),
        lifetimes=SimpleNamespace(unknown=lambda _process, _task, status: told.append(status)),
    )
    successor = Succession.__new__(Succession)
    successor._tasks = tasks

    async def look() -> None:
        for _ in range(3):
            await loop.sleep(0)
        assert not told
        os.waitpid(pid, 0)  # noqa: ASYNC222 - a zombie
        while not told:
            await loop.sleep(0)
        loop.stop()

    loop.spawn(successor._doubt(process, process))
    loop.spawn(look())
    loop.run()
    assert told == [UNKNOWN]

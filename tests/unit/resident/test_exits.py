"""The ends of a resident's children, whoever learns first: it of the end, or of the child."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own, because everything that is its child gets reaped.
PRELUDE = """
import os
from ociruntime.resident.exits import Exits

def ended(how):
    pid = os.fork()
    if pid == 0:
        how()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid

def note(status, when):
    assert when > 0
    print("ended", status)

exits = Exits()
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            "exits.hold(); pid = ended(lambda: os._exit(7)); exits.reap(); exits.expect(pid, note)",
            "ended 7\n",
            id="before it was announced",
        ),
        pytest.param(
            "pid = ended(lambda: os._exit(7)); exits.expect(pid, note); print(1); exits.reap()",
            "1\nended 7\n",
            id="announced, reaped afterwards",
        ),
        pytest.param(
            "pid = ended(lambda: os.kill(os.getpid(), 9)); exits.expect(pid, note); exits.reap()",
            "ended -9\n",
            id="by a signal",
        ),
        pytest.param(
            "exits.hold(); pid = ended(lambda: os._exit(7)); exits.reap(); print(exits.early(pid))",
            "7\n",
            id="asked for by its maker",
        ),
        pytest.param(
            "exits.hold(); pid = ended(lambda: os._exit(7)); exits.reap(); exits.release()\n"
            "exits.hold(); exits.expect(pid, note)",
            "",
            id="of an orphan before that had the number",
        ),
        pytest.param(
            "ended(lambda: os._exit(7)); exits.reap(); exits.reap()", "", id="of nobody's"
        ),
    ],
)
def test_end(script: str, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected


def test_a_worker_that_was_reaped_is_not_killed() -> None:
    """Its end and that of its request's time may come in one turn: the number is free by then."""
    script = """
from ociruntime.resident import loop
from ociruntime.shim import worker

killed = []
worker.end_worker = killed.append
job = loop.Job(worker.Workers(exits, None).run(lambda _: (0, [])))
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)

def both():
    exits.reap()
    job.cancel(RuntimeError("no time"))

loop._turn.call([both])
print(job.cancelled, killed)
"""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True []\n"

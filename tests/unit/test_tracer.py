"""The tests' tracer lets go what it has, in whatever state: the parent of a zombie that it kept
would never see its end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess

import pytest

from tests.support.tracer import PATIENCE, Tracer

# Its parent says the child's pid, and its end.
PARENT = 'while :; do :; done & echo $!; wait $!; echo "ended"'
TIMES = 4


@pytest.mark.parametrize("killed", ["before", "after"])
def test_release(killed: str) -> None:
    for _ in range(TIMES):
        tracer = Tracer()
        with subprocess.Popen(["sh", "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            tracer.stop(pid)
            if killed == "before":
                os.kill(pid, signal.SIGKILL)
            tracer.release()
            if killed != "before":
                os.kill(pid, signal.SIGKILL)
            ready, _, _ = select.select([parent.stdout], [], [], PATIENCE)
            assert ready, "its parent does not see its end"
            assert parent.stdout.readline() == "ended\n"


def test_one_that_has_ended() -> None:
    tracer = Tracer()
    with subprocess.Popen(["sleep", "100"]) as process:
        tracer.stop(process.pid)
        process.kill()
        process.wait()
        tracer.release()
    assert not tracer.held

"""A zygote waits for nobody whom one of its children that is at work may still report."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own, because everything that is its child gets reaped.
PRELUDE = """
import os
from ociruntime.zygote.server import ReportedExits

newest, going_on, told = 1, {1}, []
exits = ReportedExits(
    lambda: None, lambda: newest, lambda turn: any(one <= turn for one in going_on))

def ended(code):
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid

def is_there(pid):
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
"""


def run(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("is_reported", [True, False])
def test_who_may_still_be_reported_stays(is_reported: bool) -> None:
    script = """
pid = ended(7)
exits.reap()
assert is_there(pid)
"""
    if is_reported:
        script += """
exits.expect(pid, lambda code, _time: told.append(code))
exits.reconsider()
assert told == [7]
"""
    script += """
going_on.clear()
exits.reconsider()
assert not is_there(pid)
"""
    run(script)


def test_others_are_told_of_meanwhile() -> None:
    run("""
unknown = ended(1)
known = ended(2)
exits.expect(known, lambda code, _time: told.append(code))
exits.reap()
assert told == [2] and is_there(unknown) and not is_there(known)
""")


def test_who_began_later_has_not_made_it() -> None:
    """A zygote is hardly ever without work: an orphan is not kept for what came after its end."""
    run("""
pid = ended(1)
exits.reap()
newest, going_on = 2, {2}
exits.reconsider()
assert not is_there(pid)
""")

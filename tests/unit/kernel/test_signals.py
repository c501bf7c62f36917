"""Names and numbers of signals, and signals as data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from ociruntime.kernel import signals


def test_names_are_those_of_the_c_library() -> None:
    known = {
        name.removeprefix("SIG"): int(number)
        for name, number in vars(signal).items()
        if name.startswith("SIG") and not name.startswith(("SIG_", "SIGRT"))
    }
    assert known.items() <= signals.BY_NAME.items()
    assert signals.BY_NAME.keys() - known.keys() <= {"STKFLT"}
    assert (signal.SIGRTMIN, signal.SIGRTMAX) == (signals.SIGRTMIN, signals.SIGRTMAX)


PROGRAM = """
import os, signal, sys
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import Signals, reset
signal.signal(signal.SIGHUP, signal.SIG_IGN)
arrived = Signals(Kernel())
assert arrived.read() == []
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGRTMAX):
    os.kill(os.getpid(), number)
print(arrived.read())
reset(Kernel())
assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
assert signal.getsignal(signal.SIGPIPE) is not None
os.kill(os.getpid(), signal.SIGPIPE)
print("SIGPIPE did nothing")
"""


def test_they_arrive_even_when_the_caller_ignores_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
        check=False,
    )
    assert done.stdout == "[1, 15, 64]\n", done.stderr
    assert done.returncode == -signal.SIGPIPE

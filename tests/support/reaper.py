"""A process above the tests that buries orphans at once.

The first process of a machine does, that of a sandbox maybe once in two seconds; and a container
cannot end before the processes that were executed in it are buried (pid_namespaces(7)), so each
`delete --force` waits for that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def fork_below_a_reaper() -> None:
    """Go on in a child; this process buries whatever becomes its child, hands SIGTERM on, and ends
    as that child does.
    """
    prctl = ctypes.CDLL(None).prctl
    sys.stdout.flush()
    sys.stderr.flush()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it has ended meanwhile
        return
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells the child, too
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)

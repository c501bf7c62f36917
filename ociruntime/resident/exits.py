"""Children that end: containers' processes, our workers, and orphans that nobody else waits for.

A resident is the subreaper of everything below it (prctl(2), PR_SET_CHILD_SUBREAPER): when a worker
that made a process ends, that process is its child. The kernel hands children over before it tells
of the worker's end, so whoever processes a worker's result after the worker was reaped knows that
the process it made is our child, or was reaped before.
"""

from __future__ import annotations

import errno
import time
from select import EPOLLIN

from ociruntime import hostos as os
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import Children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.resident.loop import Loop

    # Exit code (-n: it was killed by signal n), and nanoseconds since the epoch.
    Ended = Callable[[int, int], None]


class Exits:
    """Calls back once for every process that was announced with ``expect``.

    A process may end before it is announced (its maker has not told us its pid yet): while makers
    are at work, ``hold`` to ``release``, the ends of unknown processes are kept.
    """

    __slots__ = ("_early", "_expected", "_makers")

    def __init__(self) -> None:
        self._expected: dict[int, Ended] = {}
        self._early: dict[int, tuple[int, int]] = {}
        self._makers = 0

    def start(self, loop: Loop) -> None:
        """Take the process's SIGCHLD."""
        children = Children(Kernel())

        def arrived(_ready: int) -> None:
            children.clear()
            self.reap()

        loop.watch(children.fd, EPOLLIN, arrived)

    def hold(self) -> None:
        """A maker starts to work."""
        self._makers += 1

    def release(self) -> None:
        """A maker's process was announced, or it made none."""
        self._makers -= 1
        if not self._makers:
            self._early.clear()

    def early(self, pid: int) -> int:
        """The exit code of a child that has ended before it was announced."""
        return self._early[pid][0]

    def ended_since(self, pid: int, moment: int) -> bool:
        """Whether a child of that number that nobody has announced was reaped since ``moment``
        (nanoseconds since the epoch), which is one while this is held.
        """
        early = self._early.get(pid)
        return early is not None and early[1] >= moment

    def expect(self, pid: int, ended: Ended) -> None:
        """Call ``ended`` when our child ``pid`` ends, at once if it has."""
        early = self._early.pop(pid, None)
        if early is not None and not _is_child(pid):
            ended(*early)
        else:  # what ended early was an orphan that had the number before
            self._expected[pid] = ended

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.record(pid, os.waitstatus_to_exitcode(status))

    def record(self, pid: int, code: int) -> None:
        """Tell of an end, or keep it for whoever will announce the process."""
        record = code, time.time_ns()
        ended = self._expected.pop(pid, None)
        if ended is not None:
            ended(*record)
        elif self._makers:
            self._early[pid] = record


def shell_status(code: int) -> int:
    """An exit code as shells and engines show it: 128 + n for signal n."""
    return code if code >= 0 else 128 - code


def _is_child(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError as error:
        if error.errno != errno.ECHILD:
            raise
        return False
    return True

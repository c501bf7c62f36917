"""A tracer that stops processes and waits for none of them: zombies stay zombies (ptrace(2))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
# Seconds that a process may take to stop or die, on a machine that does much else.
PATIENCE = 60.0


class Tracer:
    """The calling thread is the tracer; ``release`` what it has."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._ptrace = library.ptrace
        self._ptrace.argtypes = [ctypes.c_long] * 4
        self.held: list[int] = []

    def stop(self, pid: int) -> None:
        """Raises ``ProcessLookupError`` for one that has ended."""
        for request in (SEIZE, INTERRUPT):
            self._ask(request, pid)
            if request == SEIZE:
                self.held.append(pid)

    def _ask(self, request: int, pid: int) -> None:
        if self._ptrace(request, pid, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def release(self) -> None:
        """Let all go on, or be buried."""
        while self.held:
            self._let_go(self.held.pop())

    def _let_go(self, pid: int) -> None:
        # One that has not stopped yet cannot be detached from, and nobody else could bury it then.
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                os.waitpid(pid, WALL | os.WNOHANG)
            except ChildProcessError:
                return
            with contextlib.suppress(ProcessLookupError):
                self._ask(DETACH, pid)
                return
            assert time.monotonic() < deadline, f"process {pid} neither stops nor dies"
            time.sleep(0.001)

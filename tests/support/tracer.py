"""A tracer that stops processes and waits for none of them: zombies stay zombies (ptrace(2))."""

from __future__ import annotations

import ctypes
import os

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


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
            if self._ptrace(request, pid, 0, 0) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            if request == SEIZE:
                self.held.append(pid)

    def release(self) -> None:
        """Let all go on, or be buried."""
        while self.held:
            pid = self.held.pop()
            try:
                os.waitpid(pid, WALL | os.WNOHANG)
            except ChildProcessError:
                continue
            self._ptrace(DETACH, pid, 0, 0)

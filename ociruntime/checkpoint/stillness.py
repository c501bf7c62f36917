"""Freezing the container for CRIU.

CRIU freezes the container's cgroup itself, stops each process by ptrace(2), and thaws the cgroup at
once. But it looks only every tenth of a second whether the cgroup is frozen, so the container
stands still that much longer than it has to. Where it finds the cgroup frozen it goes on at once,
and leaves it frozen in the end, as it was.

Who freezes it has to thaw it, even if he is killed meanwhile: a process of its own sees to that.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket, socketpair

from ociruntime import hostos as os
from ociruntime.errors import StateError, StepError
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import SET_SIZE, SIG_BLOCK
from ociruntime.lifecycle.pause import frozen_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ociruntime.cgroups.group import Group
    from ociruntime.checkpoint.program import Conversation
    from ociruntime.state.store import Container

# What CRIU announces before it stops anything.
STOPPING = "pre-dump"
# How long CRIU has to end in when its socket is closed; then the container goes on all the same.
ENDING_SECONDS = 10.0
READY = b"\0"


class Stillness:
    """That of one container (loaded and locked), which is not paused."""

    __slots__ = ("_group", "_guard", "_line")

    def __init__(self, container: Container) -> None:
        try:
            self._group: Group | None = frozen_group(container)
        except StateError:
            self._group = None  # CRIU stops one process after the other
        self._guard = 0
        self._line: socket | None = None

    def begin(self, conversation: Conversation) -> None:
        """Freeze it; a cgroup that does not freeze is left to CRIU, which says so."""
        if self._group is None or self._guard:
            return
        self._line, theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        pidfd = Kernel().pidfd_open(conversation.pid)
        self._guard = os.fork()
        if self._guard == 0:
            self._line.close()
            conversation.leave()
            _guard(self._group, theirs, pidfd)
        theirs.close()
        os.close(pidfd)
        if self._line.recv(1) != READY:
            return
        try:
            self._group.freeze()
        except StepError:
            self._group.thaw()

    def end(self) -> None:
        """Let it go on: CRIU has ended."""
        if self._group is None or self._line is None:
            return
        try:
            self._group.thaw()
            self._line.sendall(READY)
        except BrokenPipeError:
            pass
        finally:
            self._line.close()
            os.waitpid(self._guard, 0)
            self._guard = 0


def _guard(group: Group, line: socket, criu: int) -> NoReturn:
    """Thaw the cgroup when who has frozen it is gone. It keeps the container locked meanwhile."""
    try:
        kernel = Kernel()
        kernel.setsid()
        every = bytearray(b"\xff" * SET_SIZE)
        kernel.invoke("rt_sigprocmask", SIG_BLOCK, every, None, SET_SIZE)
        line.sendall(READY)
        if line.recv(1) != READY:
            kernel.ends_within(criu, ENDING_SECONDS)
            group.thaw()
    finally:
        os._exit(0)

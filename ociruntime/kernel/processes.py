"""Making processes and programs: the calls that are functions of their own in ``_sys``."""

from __future__ import annotations

from _struct import pack

from ociruntime import hostos as os
from ociruntime.kernel import _sys
from ociruntime.kernel import constants as c


class Executable:
    """A program to be executed without a copy of our memory.

    ``fd`` is the program. ``streams`` become its descriptors 0 to 2; empty: it has ours. ``kept``
    are others that it has by the same numbers; the ``preserved`` ones from 3 on are our own
    caller's: one of ours that had such a number would be close-on-exec, and stays it.
    """

    __slots__ = ("argv", "envp", "fd", "kept", "preserved", "streams")

    def __init__(
        self,
        fd: int,
        argv: list[bytes],
        envp: list[bytes],
        kept: list[int],
        streams: tuple[int, ...] = (),
        preserved: int = 0,
    ) -> None:
        self.fd = fd
        self.argv = argv
        self.envp = envp
        self.kept = kept
        self.streams = streams
        self.preserved = preserved

    def descriptors(self) -> tuple[bytes, bytes]:
        """``streams`` and ``kept`` as ``_sys`` takes them."""
        streams, kept = self.streams, self.kept
        return pack(f"={len(streams)}i", *streams), pack(f"={len(kept)}i", *kept)


class Processes:
    """Part of ``Kernel``."""

    def clone(self, flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
        """clone3(2) like fork(2): ``(pid, pidfd)`` in the parent, ``(0, -1)`` in the child."""
        pid, pidfd = _sys.clone(flags, cgroup_fd, 0 if flags & c.CLONE_PARENT else c.SIGCHLD)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid, pidfd

    def run_program(self, program: Executable, milliseconds: int) -> int:
        """Run it to its end: its wait status. It is killed after so many ``milliseconds``."""
        what = program.fd, program.argv, program.envp, *program.descriptors()
        result = _sys.run_program(*what, milliseconds, program.preserved)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def launch(self, program: Executable, milliseconds: int) -> int:
        """``run_program``, and -1; or a pidfd that tells of its end, for the caller to close, where
        there are other things to do meanwhile: then the caller counts the time.
        """
        self.run_program(program, milliseconds)
        return -1

    def start_program(self, program: Executable) -> tuple[int, int]:
        """The same, but nobody waits for its end: ``(pid, pidfd)``."""
        what = program.fd, program.argv, program.envp, *program.descriptors()
        pid, pidfd = _sys.start_program(*what, program.preserved)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid, pidfd

    def execveat(self, fd: int, argv: list[bytes], envp: list[bytes]) -> None:
        """Replace this process by the program of ``fd`` (execveat(2), AT_EMPTY_PATH); returns only
        by raising.
        """
        result = _sys.execveat(fd, argv, envp)
        raise OSError(-result, os.strerror(-result))

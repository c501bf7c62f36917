"""Making processes and programs: the calls that are functions of their own in ``_sys``."""

from __future__ import annotations

from _struct import pack

from ociruntime import hostos as os
from ociruntime.kernel import _sys
from ociruntime.kernel import constants as c


class Processes:
    """Part of ``Kernel``."""

    def clone(self, flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
        """clone3(2) like fork(2): ``(pid, pidfd)`` in the parent, ``(0, -1)`` in the child."""
        pid, pidfd = _sys.clone(flags, cgroup_fd, 0 if flags & c.CLONE_PARENT else c.SIGCHLD)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid, pidfd

    def run_program(
        self,
        fd: int,
        argv: list[bytes],
        envp: list[bytes],
        streams: tuple[int, ...],
        kept: list[int],
        milliseconds: int,
        preserved: int = 0,
    ) -> int:
        """Run the program behind ``fd``, which copies none of our memory, to its end: its wait
        status. It is killed after so many ``milliseconds``. Of what is ``kept``, the ``preserved``
        descriptors from 3 on are our own caller's: one of ours that had such a number would be
        close-on-exec, and stays it.
        """
        ends, others = (pack(f"={len(fds)}i", *fds) for fds in (streams, kept))
        result = _sys.run_program(fd, argv, envp, ends, others, milliseconds, preserved)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def start_program(
        self,
        fd: int,
        argv: list[bytes],
        envp: list[bytes],
        streams: tuple[int, ...],
        kept: list[int],
        preserved: int = 0,
    ) -> tuple[int, int]:
        """The same, but nobody waits for its end: ``(pid, pidfd)``."""
        ends, others = (pack(f"={len(fds)}i", *fds) for fds in (streams, kept))
        pid, pidfd = _sys.start_program(fd, argv, envp, ends, others, preserved)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid, pidfd

    def execveat(self, fd: int, argv: list[bytes], envp: list[bytes]) -> None:
        """Replace this process by the program of ``fd`` (execveat(2), AT_EMPTY_PATH); returns only
        by raising.
        """
        result = _sys.execveat(fd, argv, envp)
        raise OSError(-result, os.strerror(-result))

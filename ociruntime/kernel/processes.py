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

    def clone_joined(
        self,
        flags: int,
        cgroup_fd: int,
        joined: list[tuple[int, int]],
        streams: tuple[int, ...],
        kept: list[int],
    ) -> tuple[int, int, int]:
        """``clone`` by a process between that joins namespaces before; never raises ``OSError``:
        ``(pid, -1, 0)`` and ``(0, -1, 0)``, or -1, the index in ``joined`` (-1: none), errno.
        """
        pairs = b"".join(pack("=ii", fd, kind) for fd, kind in joined)
        ends, others = (pack(f"={len(fds)}i", *fds) for fds in (streams, kept))
        return _sys.clone_joined(flags, cgroup_fd, pairs, ends, others)

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

    def execveat(self, fd: int, argv: list[bytes], envp: list[bytes]) -> None:
        """Replace this process by the program of ``fd`` (execveat(2), AT_EMPTY_PATH); returns only
        by raising.
        """
        result = _sys.execveat(fd, argv, envp)
        raise OSError(-result, os.strerror(-result))

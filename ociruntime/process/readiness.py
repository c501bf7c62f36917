"""NOTIFY_SOCKET: what a container says of itself to the service manager (sd_notify(3)).

The caller's socket stays the caller's. The container gets one of its own, in a directory of its own
that is mounted in it and that nobody else on the host may enter, and whoever started the container
passes on what is meant for a manager, line by line: `run` as long as it stays, `start` and
`run --detach` until READY=1. The manager is told the first process's pid as it knows it, never one
that the container names.
"""

from __future__ import annotations

import errno
from _socket import (
    AF_UNIX,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_PEEK,
    MSG_TRUNC,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    socket,
)
from select import POLLIN, poll

from ociruntime import hostos as os
from ociruntime.kernel.sockets import rights
from ociruntime.state.notify import DIRECTORY, INSIDE, SOCKET, is_offered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ociruntime.state.store import Container

VARIABLE = "NOTIFY_SOCKET"
# What may be passed on; all else a manager would take for our own word.
PASSED_ON = frozenset({
    b"READY", b"RELOADING", b"STOPPING", b"MONOTONIC_USEC", b"STATUS", b"ERRNO", b"BUSERROR",
    b"EXIT_STATUS", b"WATCHDOG", b"WATCHDOG_USEC", b"EXTEND_TIMEOUT_USEC",
})  # fmt: skip
READY, BARRIER = b"READY=1", b"BARRIER=1"
# systemd itself takes no longer ones.
LONGEST = 4096
# How long a manager may take to make room for a message, or to lift a barrier.
SECONDS = 5.0


def listen(container: Container, warn: Callable[[str], None]) -> Readiness | None:
    """The container's socket, before its program runs; None where nobody wants to be told."""
    manager = os.getenv(VARIABLE)
    if not manager or not is_offered(container):
        return None
    return Readiness(container, manager, warn)


class Readiness:
    """Passes on what the container says; ``warn`` is told, once, of a manager that does not listen.

    ``fd`` is readable when there is something to ``relay``; ``is_ready`` once READY=1 was said.
    """

    __slots__ = ("_host", "_pid", "_socket", "_warn", "is_ready")

    def __init__(self, container: Container, manager: str, warn: Callable[[str], None]) -> None:
        self._pid: int = container.data["pid"]
        self._warn: Callable[[str], None] | None = warn
        self.is_ready = False
        # An abstract name begins with a NUL in the kernel's eyes (unix(7)).
        self._host = "\0" + manager[1:] if manager.startswith("@") else manager
        path = f"{DIRECTORY}/{INSIDE}/{SOCKET}"
        try:
            os.unlink(path, dir_fd=container.fd)
        except FileNotFoundError:
            pass
        self._socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        # Any user of the container may be ready; nobody else can enter the directory.
        before = os.umask(0)
        try:
            self._socket.bind(f"/proc/self/fd/{container.fd}/{path}")
        finally:
            os.umask(before)

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def relay(self) -> None:
        """Pass on one message, if there is one.

        Descriptors beside it are never taken: whoever closes one of the container's may wait for
        the container. The kernel lets go of them with the message.
        """
        try:
            message, _, flags, _ = self._socket.recvmsg(LONGEST, 0, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not flags & MSG_TRUNC:
            self._pass_on(message.split(b"\n"), has_descriptor=bool(flags & MSG_CTRUNC))
        self._socket.recv(1, MSG_DONTWAIT)

    def _pass_on(self, lines: list[bytes], *, has_descriptor: bool) -> None:
        if BARRIER in lines:
            if has_descriptor:
                self._wait_at_barrier()
            return
        passed = [line for line in lines if line.partition(b"=")[0] in PASSED_ON]
        if READY in passed:
            self.is_ready = True
            passed.insert(0, b"MAINPID=%d" % self._pid)
        if passed:
            self._send(b"\n".join(passed))

    def _wait_at_barrier(self) -> None:
        """Wait until the manager has taken notice of what it was told (sd_notify_barrier(3)): it
        closes the descriptor that it gets then.
        """
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._send(BARRIER, [theirs])
            finally:
                os.close(theirs)
            poller = poll()
            poller.register(ours, 0)  # the end of a pipe is told in any case
            poller.poll(SECONDS * 1000)
        finally:
            os.close(ours)

    def wait(self, pidfd: int) -> None:
        """Pass on messages until READY=1, or the end of the process."""
        poller = poll()
        poller.register(self.fd, POLLIN)
        poller.register(pidfd, POLLIN)
        while not self.is_ready:
            found = dict(poller.poll())
            if self.fd in found:
                self.relay()
            elif pidfd in found:
                return

    def _send(self, message: bytes, fds: Sequence[int] = ()) -> None:
        sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        try:
            sender.settimeout(SECONDS)
            sender.sendmsg([message], rights(fds), 0, self._host)
        except OSError as error:
            if self._warn is not None:
                why = os.strerror(error.errno or errno.ETIMEDOUT).lower()
                self._warn(f"{VARIABLE}: the service manager cannot be told: {why}")
                self._warn = None
        finally:
            sender.close()

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()

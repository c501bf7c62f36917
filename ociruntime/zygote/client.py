"""A program's end of the conversation with its zygote; the protocol is in this package's docstring.

No thread, no lock, no blocking unless ``call`` or ``wait_readable`` is asked for: a program with
threads uses ``ociruntime.api``.
"""

from __future__ import annotations

import os
from _socket import (
    AF_UNIX,
    MSG_DONTWAIT,
    SHUT_RDWR,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)
from select import POLLIN, poll

from ociruntime import __version__
from ociruntime.errors import OciError
from ociruntime.resident.exits import shell_status
from ociruntime.zygote import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

# The zygote's socket in its own process.
CONTROL_FD = 3
LAST_WORDS = 2000
# What needs a child of the zygote for itself: a command line may change whatever it is carried out
# in, and the process that exec makes is proven to be that child's.
ALONE = ("command", "exec")


class ZygoteGone(OciError):
    """The zygote has ended: nothing more is known about what was asked of it."""


class Reply:
    """The answer to request ``number``: ``result``, or the ``error`` that says why there is none.

    ``fds`` belong to whoever takes the reply.
    """

    __slots__ = ("error", "fds", "number", "result")

    def __init__(self, number: int, result: dict[str, Any] | None, error: OciError | None) -> None:
        self.number = number
        self.result = result
        self.error = error
        self.fds: list[int] = []

    def take(self) -> dict[str, Any]:
        """The result; raises the error."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result

    def close(self) -> None:
        """Close the descriptors that nobody has taken."""
        while self.fds:
            os.close(self.fds.pop())


class Exit:
    """The end of the process that request ``number`` made.

    ``code`` is the exit status as a shell shows it (128 + n for signal n), ``signal`` 0 unless one
    killed it, ``time`` nanoseconds since the epoch.
    """

    __slots__ = ("code", "number", "pid", "signal", "time")

    def __init__(self, number: int, pid: int, code: int, moment: int) -> None:
        self.number = number
        self.pid = pid
        self.signal = max(-code, 0)
        self.code = shell_status(code)
        self.time = moment


class Client:
    """One zygote. To be used by one thread at a time; close it, or use it as a context manager."""

    __slots__ = ("_kept", "_last_words", "_numbers", "_said", "_socket", "pid")

    def __init__(self, end: socket, pid: int, last_words: int = -1) -> None:
        self._socket = end
        self._last_words = last_words
        self._said = b""
        self._numbers = 0
        self._kept: list[Reply | Exit] = []
        self.pid = pid

    @classmethod
    def spawn(cls, launcher: str | None = None) -> Client:
        """Execute a zygote: safe whatever threads this program has.

        Parameters: ``launcher`` is the path of the ociruntime command, None to look beside this
        package. Raises ``OciError``.
        """
        from ociruntime.zygote.launcher import find_launcher

        path = launcher or find_launcher()
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        try:
            words, words_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            ours.close()
            theirs.close()
            raise
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, words_write, 2),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL_FD),
        ]
        try:
            pid = os.posix_spawn(path, [path, "zygote"], os.environ, file_actions=actions)
        except OSError as error:
            ours.close()
            os.close(words)
            raise OciError(f"cannot execute {path}: {error.strerror}; install ociruntime") from None
        finally:
            theirs.close()
            os.close(words_write)
        return cls(ours, pid, words)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._socket.fileno() < 0

    def fileno(self) -> int:
        """The descriptor that is readable when ``receive`` has something; -1 when closed."""
        return self._socket.fileno()

    def send(
        self,
        operation: str,
        parameters: dict[str, Any],
        fds: dict[str, int] | None = None,
        sending: Callable[[int], None] | None = None,
    ) -> int:
        """Send a request; its number. ``fds`` stay the caller's. Raises ``ZygoteGone``, or
        ``OciError`` for descriptors that cannot be sent.

        ``sending`` gets the number before: a reply can come, even if this call is interrupted.
        """
        self._numbers += 1
        number = self._numbers
        given = fds or {}
        text = wire.encode({"operation": operation, "fds": list(given), **parameters})
        if sending is not None:
            sending(number)
        try:
            kind = wire.REQUEST if operation in ALONE else wire.LASTING
            wire.send(self._socket, kind, number, text, list(given.values()))
        except (BrokenPipeError, ConnectionResetError):
            raise self._gone() from None
        except OSError as error:
            # EBADF, EMFILE, or more of them than one message carries.
            raise OciError(
                f"{operation}: {len(given)} descriptors cannot be handed to the zygote: "
                f"{error.strerror}; are all of them open?"
            ) from None
        return number

    def receive(self) -> list[Reply | Exit]:
        """All messages that are there, without blocking. Raises ``ZygoteGone`` when there is none
        and will be none.
        """
        messages, self._kept = self._kept, []
        while True:
            try:
                message = self._next(MSG_DONTWAIT)
            except BlockingIOError:
                return messages
            except ZygoteGone:
                if messages:
                    return messages
                raise
            if message is not None:
                messages.append(message)

    def call(
        self, operation: str, parameters: dict[str, Any], fds: dict[str, int] | None = None
    ) -> Reply:
        """Send a request and wait for its reply, which is no failure. Raises ``OciError``."""
        number = self.send(operation, parameters, fds)
        while True:
            message = self._next(0)
            if isinstance(message, Reply) and message.number == number:
                message.take()
                return message
            if message is not None:
                self._kept.append(message)

    def wait_readable(self, seconds: float | None) -> bool:
        """Wait at most ``seconds`` (None: for ever) until ``receive`` has something."""
        if self._kept:
            return True
        poller = poll()
        poller.register(self._socket, POLLIN)
        return bool(poller.poll(None if seconds is None else max(0.0, seconds) * 1000))

    def hang_up(self) -> None:
        """Say that nothing more will be asked: who waits for a message is woken."""
        try:
            self._socket.shutdown(SHUT_RDWR)
        except OSError:
            pass  # the zygote was faster

    def abandon(self) -> None:
        """Close this process's copies of the descriptors and wait for nothing; a forked child of
        the program does it.
        """
        self._socket.close()
        words, self._last_words = self._last_words, -1
        if words >= 0:
            os.close(words)

    def close(self) -> None:
        """Let the zygote end when it has done what it was asked for; containers stay. A second call
        does nothing.
        """
        if self.closed:
            return
        self.abandon()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # the program reaps its children itself

    def _next(self, flags: int) -> Reply | Exit | None:
        try:
            packet = wire.receive(self._socket, flags)
        except ConnectionResetError:
            packet = None
        if packet is None:
            raise self._gone()
        if packet.kind == wire.EXIT:
            return Exit(packet.number, packet.pid, packet.code, packet.time)
        body = packet.body()
        if packet.kind == wire.HELLO:
            _check_version(body)
            return None
        if packet.kind == wire.FAILED:
            return Reply(packet.number, None, wire.error_from(body))
        reply = Reply(packet.number, body, None)
        reply.fds = packet.fds
        return reply

    def _gone(self) -> ZygoteGone:
        if self._last_words >= 0:
            try:
                self._said += os.read(self._last_words, LAST_WORDS)
            except BlockingIOError:
                pass
        said = " | ".join(self._said.decode("utf-8", "replace").strip().splitlines())
        return ZygoteGone(f"the zygote has ended: {said or 'it was killed'}; start another one")


def _check_version(body: dict[str, Any]) -> None:
    theirs = body.get("version")
    if theirs != __version__:
        raise OciError(
            f"the ociruntime command is version {theirs}, this library {__version__}; install the "
            "same version of both"
        )


"""One zygote, used by any number of threads.

One thread of ours reads everything that the zygote says; whoever waits for something waits for a
``PendingAnswer``. So a Ctrl-C, whose handler runs in the main thread wherever that is, cannot lose
a message that another thread waits for.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ociruntime.errors import OciError
from ociruntime.library.errors import refined
from ociruntime.zygote.client import Client, Exit, Reply, ZygoteGone

if TYPE_CHECKING:
    from ociruntime.library.answer import PendingAnswer


class ZygoteConversation:
    """Requests and their answers. Raises ``OciError`` in a forked child of the
    program.
    """

    def __init__(self, launcher: str | None = None) -> None:
        try:
            self._client = Client.spawn(launcher)
        except OSError as error:
            raise OciError(f"no socket for the zygote: {error.strerror}") from None
        self._owner = os.getpid()
        # Of everything below, and of sending.
        self._lock = threading.Lock()
        self._closed = False
        self._gone: OciError | None = None
        self._replies: dict[int, PendingAnswer[Reply]] = {}
        self._exits: dict[int, PendingAnswer[Exit]] = {}
        self._reader = threading.Thread(target=self._read, name="ociruntime-zygote", daemon=True)
        self._reader.start()
        _all.add(self)

    @property
    def zygote_pid(self) -> int:
        """The process at the other end."""
        return self._client.pid

    def submit(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        fds: Mapping[str, int],
        reply: PendingAnswer[Reply],
        end: PendingAnswer[Exit] | None = None,
    ) -> None:
        """Send a request, whose reply will be told, and the ``end`` of the process that it makes.
        That is never told if the operation fails.

        ``reply.expected`` afterwards, interrupted or not: the zygote (most probably) has it.
        """
        # A forked child has a copy of the lock as it was.
        if os.getpid() != self._owner:
            raise OciError("a Runtime cannot be used in a forked child; make another one there")
        with self._lock:
            if self._closed:
                raise ZygoteGone("the Runtime is closed; make another one")
            if self._gone is not None:
                raise _again(self._gone)
            number = 0

            def expect(sent: int) -> None:
                nonlocal number
                number = sent
                if end is not None:
                    self._exits[number] = end
                self._replies[number] = reply
                reply.expected = True

            try:
                self._client.send(operation, dict(parameters), dict(fds), expect)
            except OciError:
                self._replies.pop(number, None)
                self._exits.pop(number, None)
                reply.expected = False
                raise

    def close(self) -> None:
        """Let the zygote end when it has done what it was asked for; who still waits gets
        ``ZygoteGone``. A second call does nothing.
        """
        if os.getpid() != self._owner:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._client.hang_up()
        self._reader.join()
        self._client.close()

    def abandon(self) -> None:
        """In a forked child: close our copies, so that the program's end is seen without ours."""
        self._client.abandon()

    def _read(self) -> None:
        while True:
            try:
                self._client.wait_readable(None)
                messages = self._client.receive()
            except OciError as error:
                self._fail(error)
                return
            for message in messages:
                self._deliver(message)

    def _deliver(self, message: Reply | Exit) -> None:
        if isinstance(message, Exit):
            with self._lock:
                end = self._exits.pop(message.number, None)
            if end is not None:
                end.tell(message)
            return
        with self._lock:
            reply = self._replies.pop(message.number, None)
            if message.error is not None:
                self._exits.pop(message.number, None)
        if reply is None:
            message.close()
        elif message.error is not None:
            reply.fail(refined(message.error))
        else:
            reply.tell(message)

    def _fail(self, error: OciError) -> None:
        with self._lock:
            self._gone = ZygoteGone("the runtime was closed") if self._closed else error
            waiting: list[PendingAnswer[Any]] = [*self._replies.values(), *self._exits.values()]
            self._replies.clear()
            self._exits.clear()
        for answer in waiting:
            answer.fail(_again(self._gone))


def _again(error: OciError) -> OciError:
    """The same error for somebody else: each has a traceback of its own."""
    return type(error)(str(error))


# fork(2) in the program copies the socket. Its child must not keep the zygote alive by it.
_all: weakref.WeakSet[ZygoteConversation] = weakref.WeakSet()


def _forked() -> None:
    for conversation in list(_all):
        conversation.abandon()


os.register_at_fork(after_in_child=_forked)

"""One zygote, used by any number of threads.

There is no thread of ours unless asyncio needs one: a thread that waits for something reads for all
who wait (it leads, the others follow) and hands the lead on when its own message has come.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from ociruntime.errors import OciError
from ociruntime.zygote.client import Client, Exit, Reply, ZygoteGone

Answer = TypeVar("Answer", Reply, Exit)
# Operations that make a process, of whose end the zygote tells.
MAKING = ("create", "exec", "run")


class Conversation:
    """Requests and their answers as futures. Raises ``OciError`` in a forked child of the
    program.
    """

    def __init__(self, launcher: str | None = None) -> None:
        self._changed = threading.Condition()
        self._client = Client.spawn(launcher)
        self._owner = os.getpid()
        self._reading = False
        self._closed = False
        self._gone: ZygoteGone | None = None
        self._replies: dict[int, Future[Reply]] = {}
        self._exits: dict[int, Future[Exit]] = {}
        self._background: threading.Thread | None = None

    def submit(
        self, operation: str, parameters: Mapping[str, Any], fds: Mapping[str, int]
    ) -> tuple[Future[Reply], Future[Exit]]:
        """Send a request; the futures of its reply, and of the end of the process it makes.

        The second one is only ever completed for operations in MAKING that succeed.
        """
        reply: Future[Reply] = Future()
        end: Future[Exit] = Future()
        with self._changed:
            self._check()
            number = self._client.send(operation, dict(parameters), dict(fds))
            self._replies[number] = reply
            if operation in MAKING:
                self._exits[number] = end
        return reply, end

    def wait(self, future: Future[Answer], seconds: float | None = None) -> Answer:
        """The answer, once it has come; raises ``TimeoutError`` after ``seconds`` (None: never), or
        what the future raises.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not future.done():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"nothing was told within {seconds:g} s")
                if self._reading:
                    self._changed.wait(left)
                else:
                    self._check()
                    self._lead(left)
        return future.result()

    def read_in_background(self) -> None:
        """Have a thread read from now on, for callers that cannot wait (asyncio)."""
        with self._changed:
            self._check()
            if self._background is None:
                self._background = threading.Thread(
                    target=self._read_for_ever, name="ociruntime-zygote", daemon=True
                )
                self._background.start()

    def close(self) -> None:
        """Let the zygote end when it has done what it was asked for; who still waits gets
        ``ZygoteGone``. A second call does nothing.
        """
        with self._changed:
            if self._closed or os.getpid() != self._owner:
                return
            self._closed = True
            self._client.hang_up()
            while self._reading:
                self._changed.wait()
            self._fail(ZygoteGone("the runtime was closed"))
        if self._background is not None:
            self._background.join()
        self._client.close()

    def _check(self) -> None:
        if os.getpid() != self._owner:
            raise OciError("a Runtime cannot be used in a forked child; make another one there")
        if self._closed:
            raise OciError("the Runtime is closed; make another one")
        if self._gone is not None:
            raise self._gone

    def _read_for_ever(self) -> None:
        with self._changed:
            while self._gone is None and not self._closed:
                if self._reading:
                    self._changed.wait()
                else:
                    self._lead(None)

    def _lead(self, seconds: float | None) -> None:
        """Read what comes within ``seconds`` for everybody; the lock is free meanwhile."""
        self._reading = True
        self._changed.release()
        messages: list[Reply | Exit] = []
        gone: ZygoteGone | None = None
        try:
            if self._client.wait_readable(seconds):
                messages = self._client.receive()
        except ZygoteGone as error:
            gone = error
        finally:
            self._changed.acquire()
            self._reading = False
            for message in messages:
                self._deliver(message)
            if gone is not None:
                self._gone = gone
                self._fail(gone)
            self._changed.notify_all()

    def _deliver(self, message: Reply | Exit) -> None:
        if isinstance(message, Exit):
            end = self._exits.pop(message.number, None)
            if end is not None:
                end.set_result(message)
            return
        if message.error is not None:
            self._exits.pop(message.number, None)
        reply = self._replies.pop(message.number, None)
        if reply is None:
            return
        if message.error is not None:
            reply.set_exception(message.error)
        else:
            reply.set_result(message)

    def _fail(self, error: ZygoteGone) -> None:
        for reply in self._replies.values():
            reply.set_exception(error)
        for end in self._exits.values():
            end.set_exception(error)
        self._replies.clear()
        self._exits.clear()

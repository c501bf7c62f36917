"""Tells containerd what happens: one event after the other, over ttrpc.

containerd serves every request of a connection at the same time, so the next event is sent when
the last one was answered. While containerd is away, to be updated for example, events wait for it:
how a container has ended, its clients may learn from nothing else. Where there is no ttrpc address
its own binary is run for each event (`containerd publish`).
"""

from __future__ import annotations

import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket
from select import EPOLLIN

from ociruntime import hostos as os
from ociruntime.kernel.signals import SPAWN_DEFAULTS
from ociruntime.protobuf import WireError
from ociruntime.resident.loop import Future, first
from ociruntime.shim import ttrpc
from ociruntime.shim.journal import NoJournal
from ociruntime.shim.messages import ANY, FORWARD, REQUEST, RESPONSE, timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.log import Log
    from ociruntime.protobuf import Message
    from ociruntime.resident.exits import Exits
    from ociruntime.resident.loop import Loop

SERVICE, METHOD = "containerd.services.events.ttrpc.v1.Events", "Forward"
# Waiting events; the oldest is dropped beyond that: containerd has been gone for long.
LONGEST_QUEUE = 2048
ANSWER_SECONDS = 5.0
# Keys of events in the journal.
EVENT = "event/"
# How often a containerd that listens may refuse an event, or not answer; each time it is given one
# more of these pauses (seconds).
TRIES = 6
RETRY_SECONDS = 1.0
# While nobody listens: the first pause, by which each one is longer, up to the last (seconds).
ABSENCE_SECONDS, LONGEST_ABSENCE_SECONDS = 0.25, 5.0


class Publisher:
    """The queue of events. ``environment``: TTRPC_ADDRESS, ``address`` and ``binary`` of
    containerd.
    """

    def __init__(
        self, loop: Loop, log: Log, namespace: str, ttrpc_address: str, publish: list[str]
    ) -> None:
        self._loop = loop
        self._log = log
        self._namespace = namespace
        self._address = ttrpc_address
        self._command = publish
        self._queue: list[tuple[str, bytes, int, int]] = []
        self.journal = NoJournal()
        self._idle = Future()
        self._idle.set()
        self._sender: Sender | None = None
        self.exits: Exits | None = None

    def publish(self, topic: str, name: str, message: Message, values: dict[str, Any]) -> None:
        """Queue an event: ``message`` of the type containerd.events.``name``."""
        event = ANY.encode(
            {"type_url": f"containerd.events.{name}", "value": message.encode(values)}
        )
        entry = (topic, event, time.time_ns(), self.journal.number())
        self.journal.put(f"{EVENT}{entry[-1]}", entry)
        self.queue(entry)

    def queue(self, entry: tuple[str, bytes, int, int]) -> None:
        """Tell it: (topic, event, nanoseconds since the epoch, its number in the journal)."""
        self._queue.append(entry)
        if len(self._queue) > LONGEST_QUEUE:
            lost = self._queue.pop(0)
            self.journal.put(f"{EVENT}{lost[-1]}", None)
            self._log.warning(f"containerd takes no events; {lost[0]} is lost")
        if self._idle.done:
            self._idle = Future()
            self._loop.spawn(self._work())

    async def flush(self, seconds: float) -> None:
        """Wait until all events are told, but not longer than that."""
        await first(self._loop, self._idle, seconds)

    async def _work(self) -> None:
        while self._queue:
            await self._presence()
            topic, event, moment, number = self._queue[0]
            for attempt in range(TRIES):
                await self._presence()
                if await self._tell(topic, event, moment):
                    break
                await self._loop.sleep(RETRY_SECONDS * attempt)
            else:
                self._log.warning(f"containerd did not take the event {topic}")
            self.journal.put(f"{EVENT}{number}", None)
            if self._queue and self._queue[0][1] is event:
                self._queue.pop(0)
        self._idle.set()

    async def _presence(self) -> None:
        """Wait until there is a connection to containerd, where we know its address."""
        pause = 0.0
        while self._address and self._sender is None:
            self._sender = Sender.connect(self._loop, self._address)
            if self._sender is None:
                pause = min(pause + ABSENCE_SECONDS, LONGEST_ABSENCE_SECONDS)
                await self._loop.sleep(pause)

    async def _tell(self, topic: str, event: bytes, moment: int) -> bool:
        if self._sender is None:
            return await self._run(topic, event)
        envelope = {
            "timestamp": timestamp(moment),
            "namespace": self._namespace,
            "topic": topic,
            "event": ANY.decode(event),
        }
        payload = FORWARD.encode({"envelope": envelope})
        if await self._sender.call(SERVICE, METHOD, payload, self._namespace):
            return True
        self._sender.close()
        self._sender = None
        return False

    async def _run(self, topic: str, event: bytes) -> bool:
        """`containerd publish`: the event on its standard input."""
        if not self._command or self.exits is None:
            return True  # nobody wants to know
        readable, writable = os.pipe2(os.O_CLOEXEC)
        ended = Future()
        command = [*self._command, "--topic", topic, "--namespace", self._namespace]
        actions = [(os.POSIX_SPAWN_DUP2, readable, 0)]
        self.exits.hold()
        try:
            pid = _spawn(command, actions)
            os.write(writable, event)  # at most a page or so: a pipe takes it at once
            self.exits.expect(pid, lambda status, _time: ended.set(status))
        except OSError as error:
            self._log.warning(f"{command[0]}: {error.strerror}")
            return False
        finally:
            os.close(readable)
            os.close(writable)
            self.exits.release()
        return await first(self._loop, ended, ANSWER_SECONDS) and ended.value == 0


class Sender:
    """Our connection to containerd's ttrpc server: one request at a time."""

    __slots__ = ("_answer", "_frames", "_loop", "_socket", "_stream")

    def __init__(self, loop: Loop, end: socket) -> None:
        self._loop = loop
        self._socket = end
        self._frames = ttrpc.Frames()
        self._stream = -1
        self._answer = Future()
        loop.watch(end.fileno(), EPOLLIN, self._read)

    @classmethod
    def connect(cls, loop: Loop, address: str) -> Sender | None:
        """A connection, or None while nobody listens."""
        end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
        end.settimeout(0)
        try:
            end.connect(address.removeprefix("unix://"))
        except OSError:
            end.close()
            return None
        return cls(loop, end)

    def close(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    async def call(self, service: str, method: str, payload: bytes, namespace: str) -> bool:
        """Whether the request was answered without an error within 5 s."""
        self._stream += 2
        self._answer = Future()
        request = {
            "service": service,
            "method": method,
            "payload": payload,
            "timeout_nano": int(ANSWER_SECONDS * 1e9),
            "metadata": [{"key": "containerd-namespace-ttrpc", "value": namespace}],
        }
        data = ttrpc.frame(self._stream, ttrpc.IS_REQUEST, REQUEST.encode(request))
        try:
            if self._socket.send(data) != len(data):
                return False  # it does not read: its buffer is far larger than an event
        except OSError:
            return False
        return await first(self._loop, self._answer, ANSWER_SECONDS) and bool(self._answer.value)

    def _read(self, _ready: int) -> None:
        try:
            data = self._socket.recv(ttrpc.PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.forget(self._socket.fileno())
            self._answer.set(False)
            self._stream = 1 << 30  # the next send fails, and there will be a new connection
            return
        for stream, _, payload in self._frames.feed(data):
            if stream == self._stream and payload is not None:
                self._answer.set(_is_good(payload))


def _spawn(command: list[str], actions: list[tuple[int, int, int]]) -> int:
    return os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=actions,
        setsigmask=[],
        setsigdef=SPAWN_DEFAULTS,
    )


def _is_good(payload: bytes) -> bool:
    try:
        status = RESPONSE.decode(payload)["status"]
    except WireError:
        return False
    return status is None or status["code"] == ttrpc.OK

"""ttrpc: requests and responses over a unix socket (github.com/containerd/ttrpc, PROTOCOL.md).

A frame is ten bytes (length of the payload, stream id, both big endian, type, flags) and the
payload. Responses come in any order: each request is a task of the loop, and ``Wait`` takes hours.

Limits: a payload of more than 4 MiB is read to its end and refused (the connection lives on), a
peer that does not read its answers is cut off, and so is one with another uid (SO_PEERCRED).
"""

from __future__ import annotations

import errno
from _socket import SO_PEERCRED, SOL_SOCKET, socket
from _struct import pack, unpack, unpack_from
from select import EPOLLIN, EPOLLOUT

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.protobuf import WireError
from ociruntime.resident.loop import Job, first
from ociruntime.shim.messages import REQUEST, RESPONSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from ociruntime.resident.loop import Loop

    Handler = Callable[[str, str, bytes], Coroutine[Any, None, bytes]]

HEADER = 10
LONGEST_PAYLOAD = 4 << 20
# What may wait for a peer that does not read (bytes).
LONGEST_BACKLOG = 16 << 20
PIECE = 1 << 16
SECOND = 10**9  # nanoseconds
# How long a listener rests when there are too many open files (seconds).
REST = 0.1
TOO_MANY = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
IS_REQUEST, IS_RESPONSE = 1, 2

(
    OK, CANCELED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS,
    PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE,
    UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
) = range(15)  # fmt: skip


class RpcError(OciError):
    """An answer that is an error: one of the codes above, and the text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(stream: int, kind: int, payload: bytes) -> bytes:
    """One frame."""
    return pack(">IIBB", len(payload), stream, kind, 0) + payload


class Frames:
    """Cuts what arrives into frames."""

    __slots__ = ("_buffer", "_skip")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0  # bytes of a payload that is too long

    def feed(self, data: bytes) -> list[tuple[int, int, bytes | None]]:
        """(stream, type, payload) of every frame that is complete now; the payload is None for one
        that is too long.
        """
        self._buffer += data
        found: list[tuple[int, int, bytes | None]] = []
        while True:
            if self._skip:
                skipped = min(self._skip, len(self._buffer))
                del self._buffer[:skipped]
                self._skip -= skipped
            if len(self._buffer) < HEADER:
                return found
            length, stream, kind = unpack_from(">IIB", self._buffer)
            if length > LONGEST_PAYLOAD:
                found.append((stream, kind, None))
                self._skip = length
                del self._buffer[:HEADER]
                continue
            end = HEADER + length
            if len(self._buffer) < end:
                return found
            found.append((stream, kind, bytes(self._buffer[HEADER:end])))
            del self._buffer[:end]

    def pending(self) -> bool:
        """Whether there is a part of a frame."""
        return bool(self._buffer or self._skip)


class Connection:
    """A connected peer whose requests are answered by ``handler(service, method, payload)``, which
    returns the payload of the answer or raises ``RpcError``.
    """

    __slots__ = ("_closed", "_frames", "_handler", "_loop", "_out", "_socket", "_wants")

    def __init__(self, loop: Loop, end: socket, handler: Handler) -> None:
        self._loop = loop
        self._socket = end
        self._handler = handler
        self._frames = Frames()
        self._out = bytearray()
        self._closed = False
        self._wants = EPOLLIN
        end.settimeout(0)
        loop.watch_client(end.fileno(), EPOLLIN, self._ready)

    def close(self) -> None:
        """Cut the peer off; answers that are not written yet are lost."""
        if not self._closed:
            self._closed = True
            self._loop.forget(self._socket.fileno())
            self._socket.close()

    def _ready(self, ready: int) -> None:
        if ready & EPOLLOUT:
            self._write()
        if not self._closed and ready & ~EPOLLOUT:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        for stream, kind, payload in self._frames.feed(data):
            if kind != IS_REQUEST:
                self.close()  # this server has no streams to which data could belong
                return
            self._loop.spawn(self._answer(stream, payload))

    async def _answer(self, stream: int, payload: bytes | None) -> None:
        try:
            if payload is None:
                text = f"the message is longer than {LONGEST_PAYLOAD} bytes"
                raise RpcError(RESOURCE_EXHAUSTED, text)
            try:
                request = REQUEST.decode(payload)
            except WireError as error:
                raise RpcError(INVALID_ARGUMENT, f"not a request: {error}") from None
            response = RESPONSE.encode({"payload": await self._handle(request)})
        except RpcError as error:
            response = _refusal(error.code, str(error))
        except Exception as error:  # noqa: BLE001 - one request must not end a pod's containers
            response = _refusal(INTERNAL, f"internal error: {type(error).__name__}: {error}")
        self.send(frame(stream, IS_RESPONSE, response))

    async def _handle(self, request: dict[str, Any]) -> bytes:
        """The payload of the answer, within the time that the request grants."""
        method = request["method"]
        job = Job(self._handler(request["service"], method, request["payload"]))
        limit = request["timeout_nano"]
        if limit > 0 and not await first(self._loop, job.result, limit / SECOND):
            text = f"{method}: not done within the request's {limit / SECOND:g} seconds"
            job.cancel(RpcError(DEADLINE_EXCEEDED, text))
        return bytes(await job.result)

    def send(self, data: bytes) -> None:
        """Write it when the peer takes it."""
        if self._closed:
            return
        self._out += data
        if len(self._out) > LONGEST_BACKLOG:
            self.close()
        else:
            self._write()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._out[:sent]
        wants = EPOLLIN | EPOLLOUT if self._out else EPOLLIN
        if wants != self._wants:
            self._wants = wants
            self._loop.watch_client(self._socket.fileno(), wants, self._ready)


def _refusal(code: int, text: str) -> bytes:
    return RESPONSE.encode({"status": {"code": code, "message": text}})


class Server:
    """Accepts connections on a listening socket from processes of our own user."""

    __slots__ = ("_accepted", "_loop", "_socket")

    def __init__(
        self, loop: Loop, listener: socket, accepted: Callable[[socket], object]
    ) -> None:
        """``accepted`` gets each connection."""
        self._loop = loop
        self._socket = listener
        self._accepted = accepted
        listener.settimeout(0)
        loop.watch(listener.fileno(), EPOLLIN, self._accept)

    def close(self) -> None:
        """Accept no more."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    def _accept(self, _ready: int) -> None:
        try:
            # What socket.accept is made of.
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]
        except OSError as error:
            if error.errno in TOO_MANY:
                self._loop.spawn(self._rest())
            return  # or it has gone already
        end = socket(fileno=fd)
        if peer_uid(end) != os.geteuid():
            end.close()
            return
        self._accepted(end)

    async def _rest(self) -> None:
        """Who wants to connect stays in the queue, which keeps the listener readable."""
        self._loop.forget(self._socket.fileno())
        await self._loop.sleep(REST)
        if self._socket.fileno() >= 0:
            self._loop.watch(self._socket.fileno(), EPOLLIN, self._accept)


def peer_uid(end: socket) -> int:
    """The user of the process that connected."""
    _pid, uid, _gid = unpack("=iii", end.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
    return int(uid)

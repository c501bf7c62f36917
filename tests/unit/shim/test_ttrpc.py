"""Frames, answers, limits of the ttrpc server, over a socket pair and the real loop."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ociruntime.resident.loop import Future, Loop
from ociruntime.shim import ttrpc
from ociruntime.shim.messages import REQUEST, RESPONSE
from ociruntime.shim.ttrpc import Connection, Frames, RpcError, frame
from tests.support.patience import PATIENCE


def request(stream: int, method: str, payload: bytes = b"") -> bytes:
    body = REQUEST.encode({"service": "s", "method": method, "payload": payload})
    return frame(stream, ttrpc.IS_REQUEST, body)


class Server:
    """A loop in a thread of its own that serves one connection."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.client, end = socket.socketpair()
        self.client.settimeout(PATIENCE)
        self.late = Future()
        self.connection = Connection(self.loop, end, self.handle)
        self.frames = Frames()
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    async def handle(self, service: str, method: str, payload: bytes) -> bytes:
        if method == "late":
            return bytes(await self.late)
        if method == "release":
            self.late.set(b"at last")
        if method == "fail":
            raise RpcError(ttrpc.NOT_FOUND, "no such thing")
        if method == "stop":
            self.loop.stop()
        return payload

    def answer(self) -> tuple[int, dict[str, Any]]:
        """The next (stream, response)."""
        while True:
            for stream, kind, payload in self.frames.feed(self.client.recv(1 << 16)):
                assert kind == ttrpc.IS_RESPONSE
                assert payload is not None
                return stream, RESPONSE.decode(payload)


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    try:
        served.client.sendall(request(999, "stop"))
    except OSError:
        served.loop.stop()
    served.thread.join(PATIENCE)
    served.client.close()


def test_answers(server: Server) -> None:
    server.client.sendall(request(1, "echo", b"payload"))
    assert server.answer() == (1, {"status": None, "payload": b"payload"})


def test_an_error_has_code_and_text(server: Server) -> None:
    server.client.sendall(request(3, "fail"))
    stream, response = server.answer()
    assert stream == 3
    assert (response["status"]["code"], response["status"]["message"]) == (5, "no such thing")


def test_answers_come_when_they_are_ready(server: Server) -> None:
    server.client.sendall(request(1, "late") + request(3, "echo", b"x"))
    assert server.answer()[0] == 3
    server.client.sendall(request(5, "release"))
    got = [server.answer()[0] for _ in range(1)]
    assert got in ([1], [5])


def test_bytes_may_come_one_by_one(server: Server) -> None:
    for byte in request(1, "echo", b"slow"):
        server.client.sendall(bytes((byte,)))
    assert server.answer()[1]["payload"] == b"slow"


def test_too_long_a_message_is_refused_and_the_next_one_served(server: Server) -> None:
    length = ttrpc.LONGEST_PAYLOAD + 1
    server.client.sendall(struct.pack(">IIBB", length, 1, 1, 0))
    stream, response = server.answer()
    assert (stream, response["status"]["code"]) == (1, ttrpc.RESOURCE_EXHAUSTED)
    server.client.sendall(bytes(length))
    server.client.sendall(request(3, "echo", b"alive"))
    assert server.answer()[1]["payload"] == b"alive"


def test_garbage_in_a_request_is_an_answer(server: Server) -> None:
    server.client.sendall(frame(1, ttrpc.IS_REQUEST, b"\xff\xff"))
    assert server.answer()[1]["status"]["code"] == ttrpc.INVALID_ARGUMENT


def test_another_frame_type_ends_the_connection() -> None:
    served = Server()
    served.client.sendall(frame(1, 3, b"data"))
    assert served.client.recv(1) == b""
    served.loop.stop()
    served.loop.sleep(0)
    other, end = socket.socketpair()
    Connection(served.loop, end, served.handle)
    other.sendall(request(1, "stop"))
    served.thread.join(PATIENCE)
    assert not served.thread.is_alive()


@pytest.mark.parametrize("size", [0, 1, 10, 5000])
def test_frames_are_cut_wherever_the_bytes_are(size: int) -> None:
    data = frame(7, 1, b"a" * size) + frame(9, 2, b"b")
    for cut in {0, 1, 9, 10, 11, len(data) - 1, len(data)} - {len(data) + 1}:
        frames = Frames()
        found = frames.feed(data[:cut]) + frames.feed(data[cut:])
        assert found == [(7, 1, b"a" * size), (9, 2, b"b")]

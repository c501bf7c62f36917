"""A client of a shim's task service, for what ctr has no command for."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any, Self

from ociruntime.protobuf import Message
from ociruntime.shim.messages import REQUEST, RESPONSE
from ociruntime.shim.ttrpc import HEADER, IS_REQUEST, frame
from tests.support.patience import PATIENCE


class Refused(Exception):
    """The answer was an error: its code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class TaskClient:
    """A connection to the shim that listens at `path`, for that version of the task service."""

    def __init__(self, path: Path, version: int = 2) -> None:
        self._service = f"containerd.task.v{version}.Task"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(path))
        self._stream = 1
        self._answers: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(
        self, method: str, question: Message, answer: Message, /, **values: object
    ) -> dict[str, Any]:
        """One request and its answer; raises Refused."""
        return answer.decode(self.receive(self.ask(method, question, **values)))

    def ask(
        self, method: str, question: Message, /, *, granted: float = 0, **values: object
    ) -> int:
        """Send a request, and do not wait; what `receive` wants to know. `granted` are the seconds
        that it may take, 0 for any time.
        """
        request: dict[str, object] = {"service": self._service, "method": method}
        request["payload"] = question.encode(values)
        request["timeout_nano"] = int(granted * 10**9)
        return self._post(REQUEST.encode(request))

    def send(self, request: bytes) -> bytes:
        """One frame with any bytes; the payload of its answer."""
        return self.receive(self._post(request))

    def _post(self, request: bytes) -> int:
        self._socket.sendall(frame(self._stream, IS_REQUEST, request))
        self._stream += 2
        return self._stream - 2

    def receive(self, stream: int) -> bytes:
        """The payload of an answer; raises Refused. Others that come first are kept."""
        while stream not in self._answers:
            length, found, _ = struct.unpack(">IIH", self._read(HEADER))
            self._answers[found] = self._read(length)
        response = RESPONSE.decode(self._answers.pop(stream))
        if response["status"] and response["status"]["code"]:
            raise Refused(response["status"]["code"], response["status"]["message"])
        return bytes(response["payload"])

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            assert piece, "the shim has closed the connection"
            data += piece
        return data

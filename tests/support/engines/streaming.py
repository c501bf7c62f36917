"""The CRI's streams as a client of Kubernetes has them: exec, attach and port-forward by WebSocket.

The CRI answers with an address; what is said there is Kubernetes' v4.channel.k8s.io: messages of
bytes, whose first is the number of a channel.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pyroute2 import netns
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.patience import FACTOR

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
PROTOCOL = Subprotocol("v4.channel.k8s.io")


class Stream:
    """A connection whose channels are collected: ``said[STDOUT]`` is what came so far."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.said: dict[int, bytes] = {}

    def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel."""
        self.connection.send(bytes([channel]) + data)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the size of the terminal."""
        self.send(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())

    def receive(self, deadline: float) -> bool:
        """Collect one more message; False when the other side has closed."""
        try:
            message = self.connection.recv(max(0.0, deadline - time.monotonic()))
        except ConnectionClosed:
            return False
        assert isinstance(message, bytes), message
        self.said[message[0]] = self.said.get(message[0], b"") + message[1:]
        return True

    def wait_for(self, channel: int, text: bytes, seconds: float = 90) -> bytes:
        """Collect until the channel has said this; all that it has said."""
        deadline = time.monotonic() + seconds * FACTOR
        while text not in self.said.get(channel, b""):
            assert self.receive(deadline), f"closed without {text!r}: {self.said}"
        return self.said[channel]

    def end(self, seconds: float = 90) -> int:
        """Collect all to the end; the exit status that the error channel tells."""
        deadline = time.monotonic() + seconds * FACTOR
        while self.receive(deadline):
            pass
        status: dict[str, Any] = json.loads(self.said[ERROR])
        if status["status"] == "Success":
            return 0
        assert status.get("reason") == "NonZeroExitCode", status
        return int(status["details"]["causes"][0]["message"])


@contextmanager
def stream(init: str, address: str) -> Iterator[Stream]:
    """Speak to an address that the CRI gave, in the network namespace of the process ``init``.

    It ends as when kubectl is killed: not every server of this protocol answers a farewell.
    """
    parts = urlsplit(address)
    assert parts.hostname is not None
    end = _connect(init, parts.hostname, parts.port or 80)
    with connect(
        f"ws://{parts.netloc}{parts.path}", sock=end, subprotocols=[PROTOCOL],
        compression=None, ping_interval=None, max_size=None, open_timeout=90 * FACTOR,
    ) as connection:  # fmt: skip
        try:
            yield Stream(connection)
        finally:
            connection.close_socket()


def _connect(init: str, host: str, port: int) -> socket.socket:
    """A connection of another network namespace: a thread of its own is there meanwhile."""
    made: list[socket.socket] = []

    def run() -> None:
        netns.setns(f"/proc/{init}/ns/net")
        made.append(socket.create_connection((host, port), 90 * FACTOR))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return made[0]

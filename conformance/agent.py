"""A seccomp agent: listens for a runtime's connection and answers one notification."""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
NOTIFICATION_BYTES = 80
_RESPONSE = struct.Struct("=QqiI")
SECONDS = 15.0


@dataclass
class Delivery:
    """What came in one connection: the data of each recvmsg(2), and its number of descriptors."""

    parts: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object that was sent, {} if there was none."""
        try:
            found = json.loads(b"".join(self.parts))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Agent:
    """Takes connections on a socket until it is closed; answers calls with an errno."""

    def __init__(self, path: Path, errno: int) -> None:
        self.path = path
        self.errno = errno
        self.deliveries: list[Delivery] = []
        self.answered = 0
        self._descriptors: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(8)
        self._socket.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close what came; the calls waiting for an answer get ENOSYS."""
        self._stop.set()
        self._thread.join(SECONDS)
        self._socket.close()
        for number in self._descriptors:
            os.close(number)
        self._descriptors.clear()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._answer()
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                self._receive(connection)

    def _receive(self, connection: socket.socket) -> None:
        delivery = Delivery()
        self.deliveries.append(delivery)
        connection.settimeout(SECONDS)
        try:
            while not delivery.closed:
                data, descriptors, _, _ = socket.recv_fds(connection, 65536, 8)
                delivery.closed = not data and not descriptors
                if not delivery.closed:
                    delivery.parts.append(data)
                    delivery.counts.append(len(descriptors))
                for number in descriptors:
                    delivery.links.append(os.readlink(f"/proc/self/fd/{number}"))
                    self._descriptors.append(number)
                self._answer()
        except TimeoutError:
            return

    def _answer(self) -> None:
        """Answer the calls that wait, each with the errno."""
        for number in self._descriptors:
            while select.select([number], [], [], 0)[0]:
                buffer = bytearray(NOTIFICATION_BYTES)
                try:
                    fcntl.ioctl(number, SECCOMP_IOCTL_NOTIF_RECV, buffer)
                    (call,) = struct.unpack_from("=Q", buffer)
                    answer = _RESPONSE.pack(call, 0, -self.errno, 0)
                    fcntl.ioctl(number, SECCOMP_IOCTL_NOTIF_SEND, answer)
                    self.answered += 1
                except OSError:
                    break  # nobody uses the filter any more

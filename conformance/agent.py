"""A seccomp agent: takes the listeners that runtimes send, and answers their notifications."""

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
from typing import Any, Self

# linux/seccomp.h: struct seccomp_notif and seccomp_notif_resp, and the ioctls with their sizes.
NOTIFICATION_BYTES = 80
RESPONSE = struct.Struct("=QqiI")
SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1


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
    """Takes connections on a socket at `path` until it is closed; a context manager.

    `errno` is the answer to every call, 0 for "let the kernel do it"; it may be changed.
    `deliveries` has what came, one for each connection; `asked` counts the calls, each before it
    is answered.
    """

    def __init__(self, path: Path, errno: int) -> None:
        self.path = path
        self.errno = errno
        self.deliveries: list[Delivery] = []
        self.asked = 0
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen(8)
        self._connections: dict[int, tuple[socket.socket, Delivery]] = {}
        self._listeners: set[int] = set()
        self._awake, self._wake = socket.socketpair()
        self._poll = select.poll()
        for what in (self._server, self._awake):
            self._poll.register(what, select.POLLIN)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What came whole, in the order of the connections."""
        return [delivery.document for delivery in self.deliveries if delivery.closed]

    def close(self) -> None:
        """Stop listening and close what came; the calls waiting for an answer get ENOSYS."""
        self._wake.close()
        self._thread.join()
        for number in self._listeners:
            os.close(number)
        for connection, _ in self._connections.values():
            connection.close()
        self._awake.close()
        self._server.close()

    def _serve(self) -> None:
        """Nothing that is read here makes the thread wait: each has been told of by poll(2)."""
        while True:
            for number, events in self._poll.poll():
                if number == self._awake.fileno():
                    return
                if number == self._server.fileno():
                    connection, _ = self._server.accept()
                    self.deliveries.append(Delivery())
                    self._connections[connection.fileno()] = connection, self.deliveries[-1]
                    self._poll.register(connection, select.POLLIN)
                elif number in self._connections:
                    self._receive(*self._connections[number])
                elif events & select.POLLIN:
                    self._answer(number)
                else:  # nobody uses the filter any more
                    self._poll.unregister(number)
                    self._listeners.discard(number)
                    os.close(number)

    def _receive(self, connection: socket.socket, delivery: Delivery) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 8)
        except ConnectionError:
            data, descriptors = b"", []
        if data or descriptors:
            delivery.parts.append(data)
            delivery.counts.append(len(descriptors))
        else:
            delivery.closed = True
            del self._connections[connection.fileno()]
            self._poll.unregister(connection)
            connection.close()
        for number in descriptors:
            delivery.links.append(os.readlink(f"/proc/self/fd/{number}"))
            self._listeners.add(number)
            self._poll.register(number, select.POLLIN)

    def _answer(self, listener: int) -> None:
        buffer = bytearray(NOTIFICATION_BYTES)
        try:
            fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, buffer)
            (call,) = struct.unpack_from("=Q", buffer)
            self.asked += 1
            flags = 0 if self.errno else SECCOMP_USER_NOTIF_FLAG_CONTINUE
            response = RESPONSE.pack(call, 0, -self.errno, flags)
            fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response)
        except OSError:
            pass  # the process has ended meanwhile

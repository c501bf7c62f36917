"""What the host side and the container side say to each other.

A SOCK_SEQPACKET pair: one message is one packet, with a hard limit on its size, so no length can be
forged (CVE-2021-43784). The conversation is

    host  -> init   go(start, end)      execute these steps of the plan, which both of us know
    init  -> host   done                ... all of them
    init  -> host   failed(failure)     ... or this one did not work; I am gone
    init  -> host   end of file         I have become oci-init

and, while the namespaces are being made, ``pid`` from the intermediate process and ``ready`` in
both directions.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from _struct import pack, unpack

from ociruntime.errors import OciError
from ociruntime.kernel.inroot import Stub

# `_socket` instead of `socket`, which imports enum and selectors (6 ms).
LIMIT = 65536
GO, DONE, FAILED, PID, READY = b"G", b"D", b"F", b"P", b"R"


class Failure:
    """Why a container side step failed: errno (0: not the kernel), the step's words, detail, what
    was created.
    """

    __slots__ = ("detail", "label", "number", "stubs")

    def __init__(self, number: int, label: str, detail: str, stubs: list[Stub]) -> None:
        self.number = number
        self.label = label
        self.detail = detail
        self.stubs = stubs


class Closed(OciError):
    """The other side has gone."""


class Channel:
    """One end of the conversation."""

    __slots__ = ("_socket",)

    def __init__(self, end: socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def go(self, start: int, end: int) -> None:
        self._send(GO + pack("=II", start, end))

    def wait_go(self) -> tuple[int, int]:
        """The steps to execute; ``Closed`` when the host side has died."""
        start, end = unpack("=II", self._expect(GO))
        return start, end

    def done(self, warnings: list[str]) -> None:
        """Report success, with what was skipped and why."""
        self._send((DONE + "\0".join(map(_clean, warnings)).encode())[:LIMIT])

    def failed(self, number: int, label: str, detail: str, stubs: list[Stub]) -> None:
        """Report a failure with the newest of the created ``stubs`` that fit into a packet."""
        fields = [_clean(label)[:4000], _clean(detail)[:4000]]
        for stub in reversed(stubs):
            field = (
                f"{int(stub.directory)} {stub.ino} {stub.device[0]} {stub.device[1]} {stub.path}"
            )
            if sum(len(f) for f in fields) * 4 + len(field) * 4 > LIMIT - 1024:
                break
            fields.append(field)
        self._send(FAILED + pack("=i", number) + "\0".join(fields).encode())

    def wait_done(self, warnings: list[str]) -> Failure | None:
        """None when the steps are done, the failure when they are not, ``Closed`` at end of
        file.
        """
        message = self._receive()
        if message[:1] == DONE:
            warnings += [w for w in message[1:].decode("utf-8", "replace").split("\0") if w]
            return None
        if message[:1] != FAILED:
            raise Closed(f"init broke the protocol: {message[:16]!r}")
        label, detail, *stubs = message[5:].decode().split("\0")
        return Failure(unpack("=i", message[1:5])[0], label, detail, [_stub(s) for s in stubs])

    def send_pid(self, pid: int) -> None:
        self._send(PID + pack("=I", pid))

    def wait_pid(self) -> int | Failure:
        """The pid of the process that the intermediate one made, or why it could not."""
        message = self._receive()
        if message[:1] == FAILED:
            label, detail = message[5:].decode().split("\0")[:2]
            return Failure(unpack("=i", message[1:5])[0], label, detail, [])
        if message[:1] != PID:
            raise Closed(f"the intermediate process broke the protocol: {message[:16]!r}")
        return int(unpack("=I", message[1:5])[0])

    def ready(self) -> None:
        self._send(READY)

    def wait_ready(self) -> None:
        self._expect(READY)

    def _expect(self, kind: bytes) -> bytes:
        message = self._receive()
        if message[:1] != kind:
            raise Closed(f"unexpected message {message[:16]!r}")
        return message[1:]

    def _send(self, message: bytes) -> None:
        try:
            self._socket.send(message)
        except OSError as error:
            raise Closed(f"the other process has gone ({error.strerror})") from None

    def _receive(self) -> bytes:
        try:
            message = self._socket.recv(LIMIT)
        except OSError as error:
            raise Closed(f"the other process has gone ({error.strerror})") from None
        if not message:
            raise Closed("the other process has gone")
        return message


def channel_pair() -> tuple[Channel, Channel]:
    """Two connected ends, close-on-exec; packets need no buffer larger than LIMIT."""
    left, right = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    return Channel(left), Channel(right)


def _clean(text: str) -> str:
    return text.replace("\0", "\\0")


def _stub(field: str) -> Stub:
    directory, ino, major, minor, path = field.split(" ", 4)
    return Stub(path, int(ino), (int(major), int(minor)), directory=directory == "1")

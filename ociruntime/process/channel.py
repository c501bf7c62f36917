"""What the host side and the container side say to each other.

A SOCK_SEQPACKET pair: one message is one packet, with a hard limit on its size, so no length can be
forged (CVE-2021-43784). The conversation is

    host  -> init   go(start, end)      execute these steps of the plan, which both of us know
    init  -> host   note                meanwhile: what was skipped, what was made in the rootfs
    init  -> host   done                ... all of them
    init  -> host   failed(failure)     ... or this one did not work; I am gone
    init  -> host   leaving             this was all, I become oci-init, which will wait for `start`
    init  -> host   end of file         I have become it

and, while the namespaces are being made, ``pid`` from the intermediate process and ``ready`` in
both directions.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from _struct import pack, unpack

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.inroot import Stub
from ociruntime.process.patience import set_look

# `_socket` instead of `socket`, which imports enum and selectors (6 ms).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.patience import Patience

LIMIT = 65536
# Of one text in a message (characters).
FIELD_LIMIT = 4000
GO, DONE, FAILED, NOTE, LEAVING, PID, READY = b"G", b"D", b"F", b"N", b"L", b"P", b"R"
WARNING, STUB = "W", "S"


class Failure:
    """Why a container side step failed: errno (0: not the kernel), the step's words, detail."""

    __slots__ = ("detail", "label", "number")

    def __init__(self, number: int, label: str, detail: str) -> None:
        self.number = number
        self.label = label
        self.detail = detail


class Closed(OciError):
    """The other side has gone."""


class Channel:
    """One end of the conversation. ``left``: the other side was ``leaving``."""

    __slots__ = ("_patience", "_socket", "left")

    def __init__(self, end: socket) -> None:
        self._socket = end
        self.left = False
        self._patience: Patience | None = None

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def limit(self, seconds: float) -> None:
        """Wait no longer for a message; then it is as if the other side had gone."""
        self._socket.settimeout(seconds)

    def watch(self, patience: Patience) -> None:
        """Look after the other process while it says nothing: receiving ends with its
        ``HeldError`` instead of waiting for ever for one that cannot run.
        """
        self._patience = patience
        set_look(self._socket)

    def forget(self) -> None:
        """The descriptor is closed already, in this copy of the process."""
        self._socket.detach()

    def go(self, start: int, end: int) -> None:
        self._send(GO + pack("=II", start, end))

    def wait_go(self) -> tuple[int, int]:
        """The steps to execute; ``Closed`` when the host side has died."""
        start, end = unpack("=II", self._expect(GO))
        return start, end

    def note(self, warnings: list[str], stubs: list[Stub]) -> None:
        """Tell what was skipped and why, and what was made in the rootfs, oldest first."""
        fields = [WARNING + _clean(warning)[:FIELD_LIMIT] for warning in warnings]
        fields += [STUB + _stub_field(stub) for stub in stubs]
        packet = b""
        for field in fields:
            data = os.fsencode(field) + b"\0"
            if len(packet) + len(data) >= LIMIT:
                self._send(NOTE + packet)
                packet = b""
            packet += data
        if packet:
            self._send(NOTE + packet)

    def done(self) -> None:
        """Report success."""
        self._send(DONE)

    def leaving(self) -> None:
        """Say that the end of file that follows is no death."""
        self._send(LEAVING)

    def failed(self, number: int, label: str, detail: str) -> None:
        """Report a failure."""
        text = _clean(label)[:FIELD_LIMIT] + "\0" + _clean(detail)[:FIELD_LIMIT]
        self._send(FAILED + pack("=i", number) + text.encode("utf-8", "backslashreplace"))

    def wait_done(self, warnings: list[str], stubs: list[Stub]) -> Failure | None:
        """None when the steps are done, the failure when they are not, ``Closed`` at end of file.

        What init has noted is appended to ``warnings`` and ``stubs``.
        """
        while True:
            message = self._receive()
            kind = message[:1]
            if kind == DONE:
                return None
            if kind == FAILED:
                return _failure(message)
            if kind == LEAVING:
                self.left = True
                continue
            if kind != NOTE:
                raise Closed(f"init broke the protocol: {message[:16]!r}")
            for field in os.fsdecode(message[1:]).split("\0")[:-1]:
                if field[0] == WARNING:
                    warnings.append(field[1:])
                else:
                    stubs.append(_stub(field[1:]))

    def send_pid(self, pid: int) -> None:
        self._send(PID + pack("=I", pid))

    def wait_pid(self) -> int | Failure:
        """The pid of the process that the intermediate one made, or why it could not."""
        message = self._receive()
        if message[:1] == FAILED:
            return _failure(message)
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
            message = self._next()
        except OSError as error:
            raise Closed(f"the other process has gone ({error.strerror})") from None
        if not message:
            raise Closed("the other process has gone")
        return message

    def _next(self) -> bytes:
        while True:
            try:
                return self._socket.recv(LIMIT)
            except BlockingIOError:
                if self._patience is None:
                    raise
                if not self._patience.look():
                    return b""  # whoever has its end of the channel now will not speak for it


def channel_pair() -> tuple[Channel, Channel]:
    """Two connected ends, close-on-exec; packets need no buffer larger than LIMIT."""
    left, right = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    return Channel(left), Channel(right)


def _clean(text: str) -> str:
    return text.replace("\0", "\\0")


def _failure(message: bytes) -> Failure:
    label, detail = os.fsdecode(message[5:]).split("\0")
    return Failure(unpack("=i", message[1:5])[0], label, detail)


def _stub_field(stub: Stub) -> str:
    major, minor = stub.device
    return f"{int(stub.directory)} {stub.ino} {major} {minor} {stub.path}"


def _stub(field: str) -> Stub:
    directory, ino, major, minor, path = field.split(" ", 4)
    return Stub(path, int(ino), (int(major), int(minor)), directory=directory == "1")

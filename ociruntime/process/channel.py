"""What the host side and oci-setup say to each other.

A SOCK_SEQPACKET pair: one message is one packet, with a hard limit on its size, so no length can be
forged (CVE-2021-43784). The conversation is

    host      -> oci-setup   program     operations (``kernel.program``), with descriptors beside it
    oci-setup -> host        answer      ... all done, or which one failed; and what they answered
    oci-setup -> host        end of file   I have become oci-init, or am gone
"""

from __future__ import annotations

from _socket import (
    AF_UNIX,
    MSG_DONTWAIT,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)
from _struct import pack
from errno import ETOOMANYREFS

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.program import MAGIC, PACKET_MAX
from ociruntime.kernel.sockets import rights
from ociruntime.process.patience import set_look

# `_socket` instead of `socket`, which imports enum and selectors (6 ms).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.process.patience import Patience


class Closed(OciError):
    """The other side has gone."""


class Channel:
    """The host's end of the conversation."""

    __slots__ = ("_patience", "_socket")

    def __init__(self, end: socket) -> None:
        self._socket = end
        self._patience: Patience | None = None

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def watch(self, patience: Patience) -> None:
        """Look after the other process while it says nothing: receiving ends with its
        ``HeldError`` instead of waiting for ever for one that cannot run.
        """
        if self._patience is None:
            set_look(self._socket)
        self._patience = patience

    def send_program(self, content: bytes, fds: Sequence[int] = ()) -> None:
        """Send a program, and descriptors for its ``TAKE``; ``Closed`` when nobody is there."""
        if len(content) > PACKET_MAX:
            self._send_long(content, fds)
            return
        self._send(content, fds)

    def _send_long(self, content: bytes, fds: Sequence[int]) -> None:
        """One that is longer than a packet: in a memfd, which is the first descriptor."""
        memory = os.memfd_create("oci-setup-program", os.MFD_CLOEXEC)
        try:
            rest = content
            while rest:
                rest = rest[os.write(memory, rest) :]
            self._send(pack("=I", MAGIC), [memory, *fds])
        finally:
            os.close(memory)

    def _send(self, message: bytes, fds: Sequence[int]) -> None:
        try:
            if fds:
                self._socket.sendmsg([message], rights(fds))
            else:
                self._socket.send(message)
        except OSError as error:
            if error.errno == ETOOMANYREFS:
                raise
            raise Closed(f"the other process has gone ({error.strerror})") from None

    def receive(self) -> bytes:
        """A packet of the answer; ``Closed`` at the end of file."""
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
                return self._socket.recv(PACKET_MAX)
            except BlockingIOError:
                if self._patience is None:
                    raise
                if not self._patience.look():
                    return self._last()

    def _last(self) -> bytes:
        """What a process had said before it ended: after our last look into the channel, perhaps.
        Whoever has its end of the channel now will not speak for it.
        """
        try:
            return self._socket.recv(PACKET_MAX, MSG_DONTWAIT)
        except BlockingIOError:
            return b""


def channel_pair() -> tuple[Channel, socket]:
    """The host's end, and the other one; close-on-exec. Packets need no buffer larger than
    PACKET_MAX.
    """
    left, right = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    return Channel(left), right

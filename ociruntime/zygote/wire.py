"""The packets between a program, its zygote, and the zygote's children.

One message is one packet on a SOCK_SEQPACKET socket, so no length can be forged: a header, then a
JSON object, with descriptors as SCM_RIGHTS. An object larger than INLINE_LIMIT travels in a memfd
that comes before the other descriptors.
"""

from __future__ import annotations

import os
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET
from _struct import Struct, iter_unpack, pack

from ociruntime import errors
from ociruntime.bundle import parse_object, parse_settings, read_all
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

# kind, whether the body is in a memfd, request number, pid, exit code (-n: signal n), nanoseconds
HEADER = Struct("=cBxxIIiQ")
# A request is either for a child of its own, or for one that goes on with others.
REQUEST, LASTING, RESULT, FAILED, EXIT, HELLO = b"Q", b"L", b"R", b"E", b"X", b"H"
INLINE_LIMIT = 65536
# What one SCM_RIGHTS message carries at most (SCM_MAX_FD, unix(7)).
MOST_FDS = 253
FDS_SPACE = CMSG_SPACE(4 * MOST_FDS)


class Packet:
    """A received packet, not decoded yet; its descriptors belong to whoever received it."""

    __slots__ = ("code", "fds", "in_memfd", "kind", "number", "pid", "raw", "time")

    def __init__(self, raw: bytes, fds: list[int]) -> None:
        self.kind, self.in_memfd, self.number, self.pid, self.code, self.time = HEADER.unpack_from(
            raw
        )
        self.raw = raw
        self.fds = fds

    def body(self, *, null: bool = True) -> dict[str, Any]:
        """The JSON object; closes the memfd it came in. Without ``null`` members that are null are
        left out, as in what a program gives as a process or as resources. Raises ``SpecError``.
        """
        raw = self.raw[HEADER.size :]
        if self.in_memfd:
            memfd = self.fds.pop(0)
            try:
                raw = read_all(memfd, "zygote")
            finally:
                os.close(memfd)
        return (parse_object if null else parse_settings)(raw, "zygote") if raw else {}

    def close(self) -> None:
        """Close the descriptors that nobody has taken."""
        while self.fds:
            os.close(self.fds.pop())


def encode(body: dict[str, Any]) -> bytes:
    """The text of a body."""
    return dumps(body).encode("utf-8", "surrogatepass")


def send(
    to: socket,
    kind: bytes,
    number: int,
    text: bytes,
    fds: list[int],
    pid: int = 0,
) -> None:
    """Send a packet with a body made by ``encode``; ``fds`` stay the caller's. Raises ``OSError``
    as sendmsg(2) does.
    """
    if len(text) <= INLINE_LIMIT:
        send_raw(to, HEADER.pack(kind, 0, number, pid, 0, 0) + text, fds)
        return
    memfd = os.memfd_create("ociruntime-request", os.MFD_CLOEXEC)
    try:
        with open(memfd, "wb", buffering=0, closefd=False) as file:
            left = memoryview(text)
            while left:
                left = left[file.write(left) :]
        os.lseek(memfd, 0, os.SEEK_SET)
        send_raw(to, HEADER.pack(kind, 1, number, pid, 0, 0), [memfd, *fds])
    finally:
        os.close(memfd)


def send_raw(to: socket, raw: bytes | memoryview, fds: list[int]) -> None:
    """Send a packet as it is."""
    ancillary = [(SOL_SOCKET, SCM_RIGHTS, pack(f"={len(fds)}i", *fds))] if fds else []
    to.sendmsg([raw], ancillary)


def receive(source: socket, flags: int = 0) -> Packet | None:
    """The next packet, None at the end. Raises ``OSError`` as recvmsg(2) does."""
    raw, ancillary, _, _ = source.recvmsg(
        INLINE_LIMIT + HEADER.size, FDS_SPACE, MSG_CMSG_CLOEXEC | flags
    )
    return Packet(raw, descriptors(ancillary)) if raw else None


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors of received control messages."""
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds += [fd for (fd,) in iter_unpack("=i", data)]
    return fds


def error_document(error: errors.OciError) -> dict[str, Any]:
    """An error as JSON: its classes, the most special first, its line, and what else it knows."""
    kinds = [c.__name__ for c in type(error).__mro__ if issubclass(c, errors.OciError)]
    known = {name: value for name, value in vars(error).items() if isinstance(value, (str, int))}
    return {"kinds": kinds, "text": str(error), "known": known}


def error_from(document: dict[str, Any]) -> errors.OciError:
    """The error that ``error_document`` described, as the nearest class of
    ``ociruntime.errors``.
    """
    for name in document["kinds"]:
        found = getattr(errors, name, None)
        if isinstance(found, type) and issubclass(found, errors.OciError):
            # Not by its constructor: the text is complete already.
            error = found.__new__(found, document["text"])
            vars(error).update(document["known"])
            return error
    return errors.OciError(document["text"])

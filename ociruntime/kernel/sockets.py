"""Unix sockets: connecting to one of the caller's; descriptors that travel over one (unix(7))."""

from __future__ import annotations

import errno
from _socket import (
    AF_UNIX,
    CMSG_LEN,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SCM_RIGHTS,
    SO_SNDTIMEO,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from _struct import iter_unpack, pack

from ociruntime import hostos as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Ancillary = Iterable[tuple[int, int, bytes]]

# How long a listener of the caller's may take.
CONNECT_SECONDS = 10


class DescriptorsLost(OSError):
    """A message came without some of its descriptors, which are more than this process may have
    open. ``data`` is the message.
    """

    def __init__(self) -> None:
        super().__init__(errno.EMFILE, os.strerror(errno.EMFILE))
        self.data = b""


def rights(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """What sendmsg(2) gets beside a message for ``fds`` to come along, SCM_MAX_FD (253) at most."""
    return [(SOL_SOCKET, SCM_RIGHTS, pack(f"={len(fds)}i", *fds))] if fds else []


def descriptors(ancillary: Ancillary, flags: int) -> list[int]:
    """The descriptors beside a message, from what recvmsg(2) has returned; they are the caller's to
    close. Raises ``DescriptorsLost``, all or none: which of them are missing does not show.
    """
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds += [fd for (fd,) in iter_unpack("=i", data)]
    if flags & MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise DescriptorsLost
    return fds


def receive(source: socket, size: int, most: int = 1, flags: int = 0) -> tuple[bytes, list[int]]:
    """A message of up to ``size`` bytes and the descriptors beside it, ``most`` at most and
    close-on-exec. Raises ``OSError`` as recvmsg(2) does, and ``DescriptorsLost``.
    """
    # CMSG_SPACE has room for another one where ``most`` is odd.
    data, ancillary, found, _ = source.recvmsg(size, CMSG_LEN(4 * most), MSG_CMSG_CLOEXEC | flags)
    try:
        return data, descriptors(ancillary, found)
    except DescriptorsLost as error:
        error.data = data
        raise


def connect_unix(path: str) -> int:
    """A connected stream socket; the directory is opened first, so ``path`` may be longer than 107
    bytes. Raises ``OSError``, also for a listener that takes no connections within
    ``CONNECT_SECONDS``.
    """
    directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        # Of connect(2), too (unix(7)).
        client.setsockopt(SOL_SOCKET, SO_SNDTIMEO, pack("@ll", CONNECT_SECONDS, 0))
        client.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        return client.detach()
    except BlockingIOError:
        raise TimeoutError(errno.ETIMEDOUT, "who listens there takes no connections") from None
    finally:
        client.close()
        os.close(directory)


def send_fd(connection: int, fd: int, name: bytes) -> None:
    """Send ``fd`` with its ``name`` as payload over the stream socket ``connection``, and close
    that (unix(7)).
    """
    sender = socket(AF_UNIX, SOCK_STREAM, 0, connection)
    try:
        sender.sendmsg([name], rights([fd]))
    finally:
        sender.close()

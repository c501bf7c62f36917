"""Unix sockets of the caller's: connecting to one, and handing over a descriptor."""

from __future__ import annotations

import errno
from _socket import (
    AF_UNIX,
    SCM_RIGHTS,
    SO_SNDTIMEO,
    SOCK_CLOEXEC,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from _struct import pack

from ociruntime import hostos as os

# How long a listener of the caller's may take.
CONNECT_SECONDS = 10


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
        sender.sendmsg([name], [(SOL_SOCKET, SCM_RIGHTS, pack("=i", fd))])
    finally:
        sender.close()

"""Handing the notifications of a process to its agent (config-linux.md#seccomp, listenerPath).

The filter is loaded by oci-init, which sends the listener's descriptor to us. We pass it on with
the container process state: one connection, one document, the descriptor with its first byte.
Imported only for profiles with SCMP_ACT_NOTIFY.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socket

from ociruntime.errors import OciError
from ociruntime.jsontext import dumps
from ociruntime.kernel.sockets import connect_unix, rights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.seccomp.stored import StoredListener
    from ociruntime.spec.documents import StateDocument

FD_NAME = "seccompFd"
"""The name of the listener in ``fds`` (config-linux.md#containerprocessstate)."""
# An agent that does not read for so long is none.
SECONDS = 10.0


class Agent:
    """The connection to a seccomp agent; raises ``OciError`` when there is none.

    ``listener`` is what ``profile.listener_of`` found.
    """

    __slots__ = ("_metadata", "_path", "_socket", "served")

    def __init__(self, listener: StoredListener) -> None:
        self._path = listener["path"]
        self._metadata = listener["metadata"]
        self.served = False
        try:
            self._socket = socket(AF_UNIX, SOCK_STREAM, 0, connect_unix(self._path))
        except OSError as error:
            raise self._failure(error.strerror or "") from None
        self._socket.settimeout(SECONDS)

    def serve(self, fd: int, pid: int, state: StateDocument) -> None:
        """Send the listener ``fd`` of process ``pid`` (as we see it) with the container's state."""
        document: dict[str, Any] = {
            "ociVersion": state["ociVersion"],
            "fds": [FD_NAME],
            "pid": pid,
        }
        if self._metadata:
            document["metadata"] = self._metadata
        document["state"] = state
        data = dumps(document).encode()
        try:
            sent = self._socket.sendmsg([data], rights([fd]))
            # Not even a send of nothing: an agent may close once it has the whole document, and
            # send(2) to who has closed is EPIPE, whatever its length.
            if sent < len(data):
                self._socket.sendall(data[sent:])
        except OSError as error:
            raise self._failure(error.strerror or "it does not read") from None
        self.served = True

    def fileno(self) -> int:
        """The connection's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection: it carries one document."""
        self._socket.close()

    def _failure(self, why: str) -> OciError:
        return OciError(
            f"linux.seccomp.listenerPath {self._path}: {why.lower()}; the seccomp agent must "
            "listen there before the process starts"
        )

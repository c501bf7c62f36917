"""The directory of a container's own NOTIFY_SOCKET (``process.readiness``), in that of its state.

ROOT/ID/notify                      0700: what is in it has no path that others could use
ROOT/ID/notify/inside               mounted in the container, where its users must reach the socket
ROOT/ID/notify/inside/notify.sock   made by ``start``
"""

from __future__ import annotations

from ociruntime import hostos as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.state.store import Container

DIRECTORY, INSIDE = "notify", "inside"
SOCKET = "notify.sock"


def is_offered(container: Container) -> bool:
    """Whether the container has such a socket's directory."""
    try:
        os.stat(f"{DIRECTORY}/{INSIDE}", dir_fd=container.fd)
    except FileNotFoundError:
        return False
    return True


def remove_directory(container: int) -> None:
    """Remove it from the container's directory, an open descriptor; none is no error."""
    inside = f"{DIRECTORY}/{INSIDE}"
    for remove, name in (
        (os.unlink, f"{inside}/{SOCKET}"),
        (os.rmdir, inside),
        (os.rmdir, DIRECTORY),
    ):
        try:
            remove(name, dir_fd=container)
        except (FileNotFoundError, NotADirectoryError):
            pass

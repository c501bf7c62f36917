"""The directory of a container's own NOTIFY_SOCKET (``process.readiness``).

ROOT/ID/notify           0700: what is in it has no path that others could use
ROOT/ID/notify/inside    mounted in the container, where its users must reach the socket
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

DIRECTORY, INSIDE = "notify", "inside"


class MakeNotifyDirectory(Step):
    """Make it, empty; ``start`` makes the socket."""

    __slots__ = ()

    kind = "make-notify-directory"

    def __init__(self) -> None:
        super().__init__("", "NOTIFY_SOCKET")

    def describe(self) -> str:
        return "make a directory for the socket by which the container tells that it is ready"

    def execute(self, run: Run) -> None:
        assert run.container is not None
        os.mkdir(DIRECTORY, 0o700, dir_fd=run.container.fd)
        os.mkdir(f"{DIRECTORY}/{INSIDE}", 0o755, dir_fd=run.container.fd)


def remove_directory(container: int) -> None:
    """Remove it from the container's directory, an open descriptor; none is no error."""
    from ociruntime.process.readiness import SOCKET

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

"""Making the directory of a container's own NOTIFY_SOCKET (``state.notify``)."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.process.step import Step
from ociruntime.state.notify import DIRECTORY, INSIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run



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


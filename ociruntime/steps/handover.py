"""Steps: the sources of many bind mounts come into the container a few at a time.

Each source is held open from when the host side opened it until it is attached. What is opened
before oci-setup is started, that one has, too; so many descriptors would not fit below every limit
(RLIMIT_NOFILE), which only CAP_SYS_RESOURCE raises. So all but the first few are opened when their
turn comes, and handed over by SCM_RIGHTS (unix(7)).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import program as p
from ociruntime.kernel.program import Inherited
from ociruntime.process.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

# So many descriptors are open for sources at a time.
BATCH = 16
LABEL = "the descriptors of bind mounts"
TOO_FEW = "the limit of open files (RLIMIT_NOFILE) is too small; raise it to 64 or more"


class CloseSources(Step):
    """Close the sources that oci-setup, started with them, has of its own."""

    __slots__ = ("pointers",)

    kind = "close-sources"
    stage = "rootfs"

    def __init__(self, pointers: list[str]) -> None:
        super().__init__("/mounts", LABEL)
        self.pointers = pointers

    def describe(self) -> str:
        return f"close {len(self.pointers)} sources of bind mounts on the host side"

    def execute(self, run: Run) -> None:
        for pointer in self.pointers:
            fd = run.fds[pointer]
            run.kernel.close(fd)
            run.fds[pointer] = Inherited(fd)


class TakeSources(ContainerStep):
    """Hand over the sources that were opened last; they are closed on the host side."""

    __slots__ = ("pointers",)

    kind = "take-sources"

    def __init__(self, pointers: list[str]) -> None:
        super().__init__("/mounts", LABEL)
        self.pointers = pointers

    def describe(self) -> str:
        return f"take {len(self.pointers)} sources of bind mounts"

    def execute(self, run: Run) -> None:
        fds = [run.fds[pointer] for pointer in self.pointers]
        for index, pointer in enumerate(self.pointers):
            run.fds[pointer] = run.inner.queue(p.TAKE, index, opens=True, explain=_too_few)
        try:
            run.inner.send(fds)
            run.inner.receive()
        finally:
            for fd in fds:
                run.kernel.close(fd)

    def explain(self, number: int) -> str:
        # Of all that the user has on its way through sockets (unix(7)).
        return TOO_FEW if number == errno.ETOOMANYREFS else ""


def _too_few(_number: int, _value: int, _text: bytes) -> OSError:
    return OSError(errno.EMFILE, TOO_FEW)

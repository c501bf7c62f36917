"""The ends of children of a daemon that may have a successor."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.resident.exits import Exits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.resident.exits import Ended

CLD_EXITED = 1


class KeptExits(Exits):
    """A child is reaped when what it has left is written down, so that whoever dies in between,
    somebody can still ask the kernel.

    A predecessor's children are the keeper's: ``adopt`` them, and pass on what it tells.
    """

    __slots__ = ("_adopted",)

    def __init__(self) -> None:
        super().__init__()
        self._adopted: dict[int, Ended] = {}

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid, status = found.si_pid, found.si_status
            self.record(pid, status if found.si_code == CLD_EXITED else -status)
            os.waitpid(pid, os.WNOHANG)

    def adopt(self, pid: int, ended: Ended) -> None:
        """Call ``ended`` when the keeper tells of the end of ``pid``."""
        self._adopted[pid] = ended

    def tell(self, pid: int, status: int, moment: int) -> None:
        """The keeper has reaped ``pid`` (its status is as a shell shows it); others than adopted
        ones are nobody's.
        """
        ended = self._adopted.pop(pid, None)
        if ended is not None:
            ended(status, moment)

"""Steps: room for the descriptors of many bind mounts.

Each source is held open from before the container's namespaces are entered until it is attached.
The usual soft limit of 1024 (RLIMIT_NOFILE) is for programs with select(2); who needs more raises
it up to the hard limit, and that one where the caller may (setrlimit(2), CAP_SYS_RESOURCE), and
gives the process what it would have had.
"""

from __future__ import annotations

from ociruntime.plan.step import Step
from ociruntime.spec.tables import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

OURSELVES = 0
NOFILE = RLIMITS["RLIMIT_NOFILE"]
# What else may be open: the streams and what the caller left, cgroups, namespaces, channels.
OTHERS = 512


class RaiseOpenLimit(Step):
    """Let this process, and init after it, have ``sources`` descriptors more."""

    __slots__ = ("before", "sources")

    kind = "raise-open-limit"

    def __init__(self, sources: int) -> None:
        super().__init__("/mounts", "the limit of open descriptors")
        self.sources = sources
        self.before: tuple[int, int] | None = None

    def describe(self) -> str:
        return f"make room for the descriptors of {self.sources} bind mounts"

    def operands(self) -> dict[str, object]:
        return {"sources": self.sources}

    def execute(self, run: Run) -> None:
        soft, hard = run.kernel.get_rlimit(OURSELVES, NOFILE)
        wanted = self.sources + OTHERS
        if wanted <= soft:
            return
        try:
            run.kernel.prlimit(OURSELVES, NOFILE, wanted, max(wanted, hard))
        except PermissionError:
            run.kernel.prlimit(OURSELVES, NOFILE, hard, hard)
        self.before = soft, hard

    def undo(self, run: Run) -> None:
        if self.before:
            run.kernel.prlimit(OURSELVES, NOFILE, *self.before)


class RestoreOpenLimit(Step):
    """Close the sources here, and give the limit back to this process and the container's."""

    __slots__ = ("raised",)

    kind = "restore-open-limit"
    stage = "finish"

    def __init__(self, raised: RaiseOpenLimit) -> None:
        super().__init__("/mounts", "the limit of open descriptors")
        self.raised = raised

    def describe(self) -> str:
        return "close the sources of mounts and give back the limit of open descriptors"

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        if self.raised.before:
            # Attached by init by now; what is left here would count against the lower limit.
            for pointer in [name for name in run.fds if name.startswith("/mounts/")]:
                run.kernel.close(run.fds.pop(pointer))
            run.kernel.prlimit(run.pid, NOFILE, *self.raised.before)
            run.kernel.prlimit(OURSELVES, NOFILE, *self.raised.before)

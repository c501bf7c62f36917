"""process.oomScoreAdj for the exec of a caller who is not root (proc_pid_oom_score_adj(5))."""

from __future__ import annotations

from ociruntime.kernel import constants as c
from ociruntime.process.step import Step
from ociruntime.steps.finish import EXPLAIN_OOM_SCORE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

OWN = "/proc/self/oom_score_adj"


class LendOomScore(Step):
    """process.oomScoreAdj of a process that its caller may not open, because it is not dumpable in
    the container and he is not root: it inherits ours, which is that value meanwhile.
    """

    __slots__ = ("before", "value")

    kind = "lend-oom-score"

    def __init__(self, value: int) -> None:
        super().__init__("/process/oomScoreAdj", f"process.oomScoreAdj {value}")
        self.value = value
        self.before = b""

    def describe(self) -> str:
        return f"have the OOM score adjustment {self.value} for the process to inherit"

    def operands(self) -> dict[str, object]:
        return {"value": self.value}

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        fd = kernel.open(OWN, c.O_RDWR)
        try:
            before = kernel.read_whole(fd)
            kernel.write(fd, str(self.value).encode())
            self.before = before
        finally:
            kernel.close(fd)

    def undo(self, run: Run) -> None:
        before, self.before = self.before, b""
        if before:
            fd = run.kernel.open(OWN, c.O_WRONLY)
            try:
                run.kernel.write(fd, before)
            finally:
                run.kernel.close(fd)

    def explain(self, number: int) -> str:
        return EXPLAIN_OOM_SCORE.get(number, "")


class TakeOomScoreBack(Step):
    """Have our own OOM score adjustment again."""

    __slots__ = ("lent",)

    kind = "take-oom-score-back"

    def __init__(self, lent: LendOomScore) -> None:
        super().__init__("/process/oomScoreAdj", "the OOM score adjustment")
        self.lent = lent

    def describe(self) -> str:
        return "have our own OOM score adjustment again"

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        self.lent.undo(run)

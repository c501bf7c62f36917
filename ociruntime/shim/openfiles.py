"""How many files the daemon may have open, and what it starts.

A daemon of many pods has about ten descriptors for each container: the soft limit that it was
started with (1,024 on most systems) would end it at a hundred of them. It takes what the hard limit
allows, and nothing that it starts notices: programs that use select(2) rely on the soft one.
"""

from __future__ import annotations

from ociruntime.kernel.kernel import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import ProcessConfig

NAME, RLIMIT_NOFILE = "RLIMIT_NOFILE", 7
# More descriptors than any node needs; the kernel keeps a table of the highest that was used.
MOST = 1 << 20


class OpenFiles:
    """The process's limit; ``soft`` and ``hard`` are the original ones once it was raised."""

    __slots__ = ("hard", "soft")

    def __init__(self) -> None:
        self.soft = self.hard = -1

    def raise_limit(self) -> None:
        """Take what may be had."""
        kernel = Kernel()
        self.soft, self.hard = kernel.get_rlimit(0, RLIMIT_NOFILE)
        kernel.prlimit(0, RLIMIT_NOFILE, max(self.soft, min(self.hard, MOST)), self.hard)

    def restore(self, pid: int = 0) -> None:
        """Give a process (0: this one) the original limit; without effect where none was raised."""
        if self.soft >= 0:
            Kernel().prlimit(pid, RLIMIT_NOFILE, self.soft, self.hard)

    def into(self, process: ProcessConfig) -> ProcessConfig:
        """``process`` (config.md) with the original limit, unless it asks for one."""
        rlimits = process.get("rlimits") or []
        if self.soft < 0 or any(entry["type"] == NAME for entry in rlimits):
            return process
        process = process.copy()
        process["rlimits"] = [*rlimits, {"type": NAME, "soft": self.soft, "hard": self.hard}]
        return process


limit = OpenFiles()

"""The freezer: stopping every process of a cgroup and of those below it, and letting them go on.

v1 has a controller for it (``cgroups/v1/freezer.py``), the unified hierarchy has it in every
cgroup (``cgroups/v2/freezer.py``).
"""

from __future__ import annotations

from ociruntime.cgroups.explain import explain_write
from ociruntime.cgroups.files import write_file
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# How long a cgroup may take to freeze (seconds).
FREEZE_SECONDS = 10.0



class Freezer:
    """The freezer of one open cgroup: ``directory`` is its fd, ``path`` its name in errors."""

    def __init__(self, kernel: Kernel, directory: int, path: str) -> None:
        self.kernel = kernel
        self.directory = directory
        self.path = path

    def freeze(self) -> None:
        """Stop every process; raises ``StepError`` when it takes longer than ``FREEZE_SECONDS``.

        The cgroup may then freeze later.
        """
        raise NotImplementedError

    def thaw(self, *, deep: bool = False) -> None:
        """Let the processes go on; no effect on a cgroup that is not frozen or is gone.

        With ``deep`` cgroups below that were frozen on their own thaw, too.
        """
        raise NotImplementedError

    def frozen(self) -> bool:
        """True when the cgroup or one above it is frozen or about to be; False when it is gone."""
        raise NotImplementedError

    def write(self, directory: int, file: str, value: str) -> None:
        try:
            write_file(self.kernel, directory, file, value)
        except OSError as error:
            raise self.refused(file, value, error) from None

    def refused(self, file: str, value: str, error: OSError) -> StepError:
        number = error.errno or 0
        return StepError(
            f"cgroup {self.path} ({file} = {value})", number, explain_write(file, value, number)
        )

    def late(self, file: str, value: str, how: str) -> StepError:
        detail = f"{how} after {FREEZE_SECONDS:g} s; is a process in it in state D?"
        return StepError(f"cgroup {self.path} ({file} = {value})", 0, detail)

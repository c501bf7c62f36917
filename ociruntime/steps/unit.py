"""The container's first process, or one of ``exec``, is in its systemd unit: what follows the clone
with ``--systemd-cgroup``.
"""

from __future__ import annotations

from ociruntime.cgroups.path import POINTER
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.unit import Unit
    from ociruntime.process.run import Run


class SettleUnit(Step):
    """Have systemd move the process where we may not, and end the scope's placeholder."""

    __slots__ = ("unit",)

    kind = "settle-unit"
    stage = "attach"

    def __init__(self, unit: Unit) -> None:
        super().__init__(POINTER, f"systemd unit {unit.name}")
        self.unit = unit

    def describe(self) -> str:
        return f"see the process into the systemd unit {self.unit.name}"

    def operands(self) -> dict[str, object]:
        return {"unit": self.unit.name}

    def execute(self, run: Run) -> None:
        from ociruntime.cgroups.systemd.group import UnitGroup

        group = run.cgroup
        assert isinstance(group, UnitGroup)
        group.adopt(run.pid)
        group.end_placeholder()

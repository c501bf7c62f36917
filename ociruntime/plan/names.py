"""The names of a plan's steps."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.plan.explain import Described


def names(steps: Sequence[Described]) -> list[str]:
    """The name of each step: its kind and where in the config it comes from; what is there in any
    container and more than once is named by its path. So a name stays when others come or go.
    """
    plain = [f"{step.kind} {step.pointer}".rstrip() for step in steps]
    once: set[str] = set()
    often: set[str] = set()
    for name in plain:
        (often if name in once else once).add(name)
    found: list[str] = []
    for name, step in zip(plain, steps, strict=True):
        full = f"{name} {_path(step.operands())}".rstrip() if name in often else name
        same = found.count(full)
        found.append(f"{full} #{same + 1}" if same else full)
    return found


def _path(operands: dict[str, object]) -> str:
    """What a step works on, "" where that has no path and is no program."""
    device = operands.get("device")
    path = (
        device.get("path")
        if isinstance(device, dict)
        else operands.get("path", operands.get("program"))
    )
    return path if isinstance(path, str) else ""

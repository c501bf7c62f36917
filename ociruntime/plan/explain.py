"""A plan for readers: text for people, JSON for programs (schemas/plan.json). Nothing is executed.

Neither form has the values of environment variables: plans are pasted into bug reports.
"""

from __future__ import annotations

import json
import re

from ociruntime.errors import one_line
from ociruntime.plan.names import names
from ociruntime.screen import BOLD, Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, TypedDict

    from ociruntime.plan.host import Host
    from ociruntime.spec.documents import PlanDocument, PlanHost, PlanStep

    class AboutPlan(TypedDict):
        """What a plan is of: the beginning of its document."""

        id: str
        operation: str
        bundle: str
        host: PlanHost

    class Described(Protocol):
        """A step, as far as it is told of."""

        @property
        def kind(self) -> str: ...
        @property
        def side(self) -> str: ...
        @property
        def stage(self) -> str: ...
        @property
        def pointer(self) -> str: ...
        def describe(self) -> str: ...
        def operands(self) -> dict[str, object]: ...


# Three paths or more, one behind the other: the cgroups of all hierarchies.
PATHS = re.compile(r"(/[^\s,]+)((?:, /[^\s,]+){2,})")


def as_json(about: AboutPlan, steps: Sequence[Described], warnings: list[str]) -> str:
    """The plan as a JSON document, with a line break at its end; ``about`` comes first in it."""
    told: list[PlanStep] = [
        {
            "name": name,
            "step": step.kind,
            "side": step.side,
            "stage": step.stage,
            "pointer": step.pointer,
            "description": step.describe(),
            "operands": step.operands(),
        }
        for name, step in zip(names(steps), steps, strict=True)
    ]
    document: PlanDocument = {**about, "steps": told, "warnings": warnings}
    return json.dumps(document, indent=2) + "\n"


def as_text(
    heading: list[str], steps: Sequence[Described], warnings: list[str], screen: Screen
) -> str:
    """A heading, the steps with their names under the stage and side they belong to, warnings."""
    lines = [line for text in heading for line in screen.paragraph(text, "")] + [""]
    entries: list[tuple[str, str]] = []
    group = ("", "")
    named = list(zip(names(steps), steps, strict=True))
    width = name_width([name for name, _ in named], screen)
    for name, step in named:
        if (step.stage, step.side) != group:
            lines += screen.pairs(entries, most=width)
            entries = []
            lines += [""] if group[0] else []
            group = (step.stage, step.side)
            title = one_line(f"{step.stage} ({step.side})")
            lines.append(screen.mark(title, BOLD))
        entries.append((one_line(name), folded(step.describe())))
    lines += screen.pairs(entries, most=width)
    if warnings:
        lines.append("")
        for warning in warnings:
            lines += screen.paragraph(warning, "  ", "warning: ")
    return "".join(line + "\n" for line in lines)


def heading(what: str, steps: Sequence[Described], host: Host) -> list[str]:
    """What it is for, and ``63 steps, as root, cgroups v2``."""
    count = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return [what, f"{count}, as {_caller(host)}, cgroups {host.cgroups.mode}"]


def folded(text: str) -> str:
    """``text`` with long lists of paths cut short; ``as_json`` has them all."""

    def cut(match: re.Match[str]) -> str:
        return f"{match[1]} and {match[2].count(', ')} more"

    return PATHS.sub(cut, one_line(text))


def name_width(found: list[str], screen: Screen) -> int:
    """Columns for names: as many as most of them need."""
    return min(max(map(len, found), default=0), screen.width * 2 // 5)


def _caller(host: Host) -> str:
    """Who would take the steps: it decides what is possible."""
    if host.privileged:
        return "root"
    where = " in a user namespace" if host.in_userns else ""
    return f"uid {host.euid}{where}"

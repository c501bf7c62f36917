"""A plan for readers: text for people, JSON for programs (schemas/plan.json). Nothing is executed.

Neither form has the values of environment variables: plans are pasted into bug reports.
"""

from __future__ import annotations

from ociruntime.errors import one_line
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.plan.build import Plan
    from ociruntime.plan.host import Host
    from ociruntime.plan.options import CreateOptions
    from ociruntime.plan.step import Step

# Where the pointers begin, when the descriptions are not longer.
POINTER_COLUMN = 64


def as_json(plan: Plan, host: Host, options: CreateOptions) -> str:
    """The plan as a JSON document, with a line break at its end."""
    document = {
        "id": options.id,
        "bundle": options.bundle,
        "host": host.as_dict(),
        "steps": [step.as_dict() for step in plan.steps],
        "warnings": plan.warnings,
    }
    return dumps(document, 2) + "\n"


def as_text(plan: Plan, host: Host, options: CreateOptions) -> str:
    """A heading, the steps with numbers and JSON pointers under the stage and side they belong to,
    warnings.
    """
    lines = [
        f"create {options.id} from {options.bundle}",
        f"{len(plan.steps)} steps, as {_caller(host)}, cgroups {host.cgroups.mode}",
    ]
    group = ("", "")
    for number, step in enumerate(plan.steps, 1):
        if (step.stage, step.side) != group:
            group = (step.stage, step.side)
            lines += ["", f"{step.stage} ({step.side})"]
        lines.append(_line(number, step))
    if plan.warnings:
        lines += ["", *(f"warning: {warning}" for warning in plan.warnings)]
    return "".join(one_line(line) + "\n" for line in lines)


def _line(number: int, step: Step) -> str:
    text = f"{number:4}  {step.describe()}"
    return f"{text.ljust(POINTER_COLUMN)}  {step.pointer}" if step.pointer else text


def _caller(host: Host) -> str:
    """Who would take the steps: it decides what is possible."""
    if host.privileged:
        return "root"
    where = " in a user namespace" if host.in_userns else ""
    return f"uid {host.euid}{where}"

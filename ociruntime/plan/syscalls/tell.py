"""The system calls of a plan for readers: text for people, JSON for programs."""

from __future__ import annotations

import errno
import json

from ociruntime.errors import one_line
from ociruntime.kernel import program as p
from ociruntime.plan.names import names
from ociruntime.plan.syscalls.entering import foretell_exec
from ociruntime.plan.syscalls.foretell import foretell
from ociruntime.plan.syscalls.primitives import Block, Call, calls_of
from ociruntime.screen import BOLD, Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.plan.build import Plan
    from ociruntime.plan.explain import AboutPlan
    from ociruntime.plan.syscalls.decode import Operation
    from ociruntime.plan.syscalls.foretell import Foretold
    from ociruntime.plan.syscalls.notation import Notation
    from ociruntime.process.run import Run

CODES = {
    p.CALL: "call", p.OPEN: "open", p.DIRECTORY: "directory", p.FILE: "file",
    p.ITSELF: "itself", p.DEVICE: "device", p.SYMLINK: "symlink", p.FILESYSTEM: "filesystem",
    p.ATTACH: "attach", p.KIND: "kind", p.NODE: "node", p.EMPTY: "empty", p.PROGRAM: "program",
    p.HOME: "home", p.KEYRING: "keyring", p.SEND: "send", p.TAKE: "take", p.CLONE: "clone",
    p.HOOK: "hook", p.WAIT: "wait", p.EXECUTE: "execute", p.ON: "on", p.MASK_PATH: "mask",
    p.READONLY: "readonly", p.PLACE: "place", p.DEV: "dev",
}  # fmt: skip
LEGEND = (
    "The system calls of oci-setup, from its first program until it executes oci-init, if nothing "
    "fails. $N is a result, <NAME> a descriptor of the host side or what only the run will know. "
    "Between them it receives programs and answers (recvmsg, sendto); openat2 is repeated while it "
    "answers EAGAIN. What stands under a condition depends on the file system."
)
EXEC_LEGEND = (
    "The system calls of oci-exec, from its execution on, and of the process that it makes, until "
    "that executes the program, if nothing fails. <NAME> is a descriptor of the host side or what "
    "only the run will know; openat2 is repeated while it answers EAGAIN. What stands under a "
    "condition depends on what is found."
)
ASSUMES = "an answer of the kernel decides here; this is what follows when there is nothing special"
# Conditions of more lines than this are told once.
SHORT = 3


def as_json(about: AboutPlan, plan: Plan) -> str:
    """A JSON document, with a line break at its end; ``about`` comes first in it."""
    told, notation = foretell(plan.steps)
    steps = [
        {
            "name": name,
            "step": one.step.kind,
            "pointer": one.step.pointer,
            "description": one.step.describe(),
            "assumes": one.assumes,
            "untold": one.opaque,
            "operations": [_operation(operation, notation) for operation in one.operations],
        }
        for name, one in _named(plan, told)
    ]
    rest = {"descriptors": notation.hosts, "steps": steps, "warnings": plan.warnings}
    return json.dumps({**about, **rest}, indent=2) + "\n"


def as_text(heading: list[str], plan: Plan, screen: Screen) -> str:
    """A heading, and the calls under the names of their steps. They are not folded."""
    told, notation = foretell(plan.steps)
    lines = [line for text in [*heading, LEGEND] for line in screen.paragraph(text, "")]
    known: dict[tuple[str, ...], str] = {}
    for name, one in _named(plan, told):
        lines += ["", screen.mark(one_line(f"{name}: {one.step.describe()}"), BOLD)]
        if one.opaque:
            lines.append(one_line(f"  not told: {one.opaque}"))
        elif one.assumes:
            lines.append(f"  ({ASSUMES})")
        for operation in one.operations:
            lines += _lines(operation, notation, known, name)
    return "".join(line + "\n" for line in [*lines, *(f"warning: {w}" for w in plan.warnings)])


def exec_as_json(about: AboutPlan, run: Run) -> str:
    """The same of ``exec``, in the same form: each operation is a stage of it."""
    told = foretell_exec(run)
    step = {
        "name": names([told.step])[0],
        "step": told.step.kind,
        "pointer": told.step.pointer,
        "description": told.step.describe(),
        "assumes": False,
        "untold": told.opaque,
        "operations": [
            {
                "operation": stage.name,
                "calls": [item.as_dict() for item in stage.calls],
                "result": None,
                "tolerated": [],
                "leaves_out": 0,
                "leaves_out_after": "failure",
            }
            for stage in told.stages
        ],
    }
    rest = {"descriptors": told.hosts, "steps": [step], "warnings": run.warnings}
    return json.dumps({**about, **rest}, indent=2) + "\n"


def exec_as_text(heading: list[str], run: Run, screen: Screen) -> str:
    """The same of ``exec`` for people."""
    told = foretell_exec(run)
    lines = [line for text in [*heading, EXEC_LEGEND] for line in screen.paragraph(text, "")]
    name = names([told.step])[0]
    lines += ["", screen.mark(one_line(f"{name}: {told.step.describe()}"), BOLD)]
    if told.opaque:
        lines.append(one_line(f"  not told: {told.opaque}"))
    known: dict[tuple[str, ...], str] = {}
    for stage in told.stages:
        if stage.calls:
            lines += [f"  {stage.name}:", *_indented(stage.calls, "    ", known, stage.name)]
    return "".join(line + "\n" for line in [*lines, *(f"warning: {w}" for w in run.warnings)])


def _named(plan: Plan, told: list[Foretold]) -> list[tuple[str, Foretold]]:
    by_step = {id(step): name for name, step in zip(names(plan.steps), plan.steps, strict=True)}
    return [(by_step[id(one.step)], one) for one in told]


def _tolerated(one: Operation) -> list[str]:
    if p.EVERY_ERRNO in one.tolerated:
        return ["any errno"]
    return [errno.errorcode.get(number, str(number)) for number in one.tolerated]


def _result(one: Operation) -> str:
    return "" if one.result == p.NO_REGISTER else f"${one.result}"


def _operation(one: Operation, notation: Notation) -> dict[str, object]:
    return {
        "operation": CODES[one.code],
        "calls": [item.as_dict() for item in calls_of(one, notation)],
        "result": _result(one) or None,
        "tolerated": _tolerated(one),
        "leaves_out": one.skip,
        "leaves_out_after": "success" if one.flags & p.ELSE else "failure",
    }


def _lines(
    one: Operation, notation: Notation, known: dict[tuple[str, ...], str], name: str
) -> list[str]:
    items = calls_of(one, notation)
    result = _result(one)
    if len(items) == 1 and isinstance(items[0], Call):
        lines = [one_line(f"  {result} = {items[0]}" if result else f"  {items[0]}")]
    else:
        lines = [f"  {result} = {CODES[one.code]}:" if result else f"  {CODES[one.code]}:"]
        lines += _indented(items, "    ", known, name)
    if one.tolerated:
        lines.append(f"    may fail: {', '.join(_tolerated(one))}")
    if one.skip:
        after = "success" if one.flags & p.ELSE else "failure"
        lines.append(f"    after {after} the next {one.skip} are left out")
    return lines


def _indented(
    items: Sequence[Call | Block], indent: str, known: dict[tuple[str, ...], str], name: str
) -> list[str]:
    lines = []
    for item in items:
        if isinstance(item, Call):
            lines.append(one_line(f"{indent}{item}"))
            continue
        inner = _indented(item.items, indent + "  ", {}, name)
        again = ", any number of times" if item.repeats else ""
        condition = f"{indent}[{item.when or 'now'}{again}]"
        shape = tuple(line.strip() for line in inner)
        if len(inner) > SHORT and shape in known:
            lines.append(f"{condition} as in {known[shape]}")
            continue
        known[shape] = name
        lines += [condition, *inner]
    return lines

"""What differs between two plans (cold path).

Steps are told apart by what they do, not by where in the config they come from: a mount that is put
in front moves the index of all others, and is one difference all the same.
"""

from __future__ import annotations

import json
from difflib import SequenceMatcher

from ociruntime.errors import one_line
from ociruntime.plan.explain import folded, name_width
from ociruntime.plan.names import names
from ociruntime.screen import GREEN, RED, YELLOW, Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.plan.explain import Described

GONE, NEW, CHANGED = "gone", "new", "changed"
MARKS = {GONE: ("-", RED), NEW: ("+", GREEN), CHANGED: ("~", YELLOW)}
LONGEST_VALUE = 60


class Difference:
    """One line: a step that is in one plan only, or is not the same in both.

    ``before`` and ``after`` are (name, what it does), None where it is missing; ``operands`` are
    (name, before, after) of the data that differ.
    """

    def __init__(
        self,
        kind: str,
        before: tuple[str, str] | None,
        after: tuple[str, str] | None,
        operands: list[tuple[str, object, object]],
    ) -> None:
        self.kind = kind
        self.before = before
        self.after = after
        self.operands = operands

    def as_dict(self) -> dict[str, object]:
        """The difference for JSON."""

        def side(entry: tuple[str, str] | None) -> dict[str, str] | None:
            return None if entry is None else {"name": entry[0], "description": entry[1]}

        return {
            "kind": self.kind,
            "before": side(self.before),
            "after": side(self.after),
            "operands": {name: {"before": a, "after": b} for name, a, b in self.operands},
        }


class Side:
    """One of the plans; ``where`` is its bundle, which alone makes no difference."""

    def __init__(self, steps: Sequence[Described], where: str) -> None:
        self.steps = steps
        self.where = where
        self.names = names(steps)
        self.keys = [self._key(step) for step in steps]

    def told(self, index: int) -> tuple[str, str]:
        """(name, what it does) of a step."""
        return self.names[index], self.steps[index].describe()

    def data(self, index: int) -> dict[str, object]:
        """The operands of a step, without the bundle's name."""
        found: dict[str, object] = json.loads(self._neutral(self.steps[index].operands()))
        return found

    def _key(self, step: Described) -> str:
        return f"{step.kind} {step.side} {self._neutral([step.describe(), step.operands()])}"

    def _neutral(self, value: object) -> str:
        return json.dumps(value, sort_keys=True).replace(json.dumps(self.where)[1:-1], "BUNDLE")


def compare(before: Side, after: Side) -> list[Difference]:
    """What is gone, new or changed, in the order of the plans."""
    found: list[Difference] = []
    matcher = SequenceMatcher(None, before.keys, after.keys, autojunk=False)
    for word, first, first_end, second, second_end in matcher.get_opcodes():
        if word == "equal":
            continue
        olds, news = list(range(first, first_end)), list(range(second, second_end))
        pairs = _pairs(before, olds, after, news)
        for old in olds:
            if old not in pairs:
                found.append(Difference(GONE, before.told(old), None, []))
                continue
            new = pairs[old]
            operands = _operands(before.data(old), after.data(new))
            found.append(Difference(CHANGED, before.told(old), after.told(new), operands))
        taken = set(pairs.values())
        found += [Difference(NEW, None, after.told(new), []) for new in news if new not in taken]
    return found


def _pairs(before: Side, olds: list[int], after: Side, news: list[int]) -> dict[int, int]:
    """Which of the old steps became which of the new ones: those of one kind, in their order, first
    where the config has them in the same place.
    """
    pairs: dict[int, int] = {}
    for same in (True, False):
        for old in olds:
            step = before.steps[old]
            for new in news:
                other = after.steps[new]
                fits = step.kind == other.kind and (not same or step.pointer == other.pointer)
                if old not in pairs and new not in pairs.values() and fits:
                    pairs[old] = new
    return pairs


def _operands(
    before: dict[str, object], after: dict[str, object]
) -> list[tuple[str, object, object]]:
    every = sorted(before.keys() | after.keys())
    return [
        (name, before.get(name), after.get(name))
        for name in every
        if before.get(name) != after.get(name)
    ]


def as_text(found: list[Difference], heading: list[str], total: int, screen: Screen) -> str:
    """The differences for people, one a line or what fits into one."""
    lines = [line for text in heading for line in screen.paragraph(text, "     ", "")]
    shown = [_shown(difference) for difference in found]
    width = name_width([name for _, name, _ in shown], screen)
    if found:
        lines.append("")
    for kind, name, text in shown:
        sign, colour = MARKS[kind]
        first, *more = screen.pairs([(name, text)], most=width, indent="  ")
        lines += [screen.mark(sign, colour) + first[1:], *more]
    counts = {kind: sum(each.kind == kind for each in found) for kind in MARKS}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    lines += ["", f"{told or 'no difference'}, of {total} steps"]
    return "".join(line + "\n" for line in lines)


def _shown(difference: Difference) -> tuple[str, str, str]:
    """(kind, name, text) of one."""
    if difference.before is None or difference.after is None:
        name, text = difference.before or difference.after or ("", "")
        return difference.kind, one_line(name), folded(text)
    name = difference.after[0]
    before, after = folded(difference.before[1]), folded(difference.after[1])
    if before != after:
        return difference.kind, one_line(name), f"{before} -> {after}"
    data = "; ".join(
        f"{operand}: {_value(old)} -> {_value(new)}" for operand, old, new in difference.operands
    )
    return difference.kind, one_line(name), f"{after} ({data})"


def _value(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."

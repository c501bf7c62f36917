"""The faults of one document, as text for people, as data for programs, as one line for a log."""

from __future__ import annotations

from ociruntime.errors import SpecError, one_line
from ociruntime.jsontext import dumps
from ociruntime.spec.fault import ERROR, WARNING, Fault
from ociruntime.spec.sentences import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class InvalidDocumentError(SpecError):
    """A document breaks the schema or a rule.

    ``str()`` is one line about the first fault; ``report`` has them all.
    """

    def __init__(self, report: DocumentReport) -> None:
        first, line, column = next(entry for entry in report.placed if entry[0].level == ERROR)
        others = report.count(ERROR) - 1
        more = f" (and {others} more; run `ociruntime validate`)" if others else ""
        text = f"{report.source}:{line}:{column}: {first.pointer or '/'}: {first.message}"
        super().__init__(
            f"{text}; {first.cure}{more}",
            first.pointer,
            first.rule,
            shown(first.value) if first.value is not None else "",
            first.cure,
        )
        self.report = report


class DocumentReport:
    """What ``explain`` found: ``placed`` holds (fault, line, column), errors first."""

    def __init__(self, source: str, kind: str, placed: list[tuple[Fault, int, int]]) -> None:
        self.source = source
        self.kind = kind
        self.placed = placed

    def count(self, level: str) -> int:
        """The number of faults of ``level`` (fault.ERROR, fault.WARNING)."""
        return sum(fault.level == level for fault, _, _ in self.placed)

    def be_strict(self) -> None:
        """Take every warning for an error."""
        for fault, _, _ in self.placed:
            if fault.level == WARNING:
                fault.level = ERROR

    @property
    def valid(self) -> bool:
        """True if there is no error; warnings are allowed."""
        return self.count(ERROR) == 0

    def summary(self) -> str:
        """One line: how many errors and warnings."""
        errors, warnings = self.count(ERROR), self.count(WARNING)
        counts = [_plural(errors, ERROR)] if errors else []
        counts += [_plural(warnings, WARNING)] if warnings else []
        verdict = "valid" if self.valid else "invalid"
        return f"{self.source}: {verdict}" + (f" ({', '.join(counts)})" if counts else "")

    def text(self) -> str:
        """The summary, then every fault with rule and cure; lines end with a line break."""
        lines = [self.summary()]
        for fault, line, column in self.placed:
            lines.append(
                f"{self.source}:{line}:{column}: {fault.level}: "
                f"{fault.pointer or '/'}: {fault.message}"
            )
            if fault.value is not None and shown(fault.value) not in fault.message:
                lines.append(f"    value: {shown(fault.value)}")
            if fault.rule:
                lines.append(f"    rule: {fault.rule}")
            lines.append(f"    cure: {fault.cure}")
        return "".join(one_line(line) + "\n" for line in lines)

    def as_dict(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "source": self.source,
            "kind": self.kind,
            "valid": self.valid,
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "faults": [
                {
                    "level": fault.level,
                    "pointer": fault.pointer,
                    "line": line,
                    "column": column,
                    "value": fault.value,
                    "message": fault.message,
                    "rule": fault.rule,
                    "cure": fault.cure,
                }
                for fault, line, column in self.placed
            ],
        }

    def json(self) -> str:
        """``as_dict`` as JSON text that ends with a line break."""
        return dumps(self.as_dict()) + "\n"


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"

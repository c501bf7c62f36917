"""The text format of OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/)."""

from __future__ import annotations

from dataclasses import dataclass, field

COUNTER, GAUGE, INFO, STATESET = "counter", "gauge", "info", "stateset"
END = "# EOF\n"

Labels = dict[str, str]


@dataclass
class Family:
    """One metric with its samples. A name with a unit ends with it; ``_total`` and ``_info`` are
    added here.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """Add a sample."""
        self.samples.append((labels, value))

    def lines(self) -> list[str]:
        """The family as text; nothing when it has no samples."""
        if not self.samples:
            return []
        head = [f"# TYPE {self.name} {self.kind}"]
        if self.unit:
            head.append(f"# UNIT {self.name} {self.unit}")
        head.append(f"# HELP {self.name} {escaped(self.meaning)}")
        suffix = {COUNTER: "_total", INFO: "_info"}.get(self.kind, "")
        return head + [
            f"{self.name}{suffix}{_labels(labels)} {_number(value)}"
            for labels, value in self.samples
        ]


def exposition(families: list[Family]) -> str:
    """All families, and the end."""
    return "".join(f"{line}\n" for family in families for line in family.lines()) + END


def escaped(text: str) -> str:
    """Text of a help line or a label's value; what is no text is shown as it is in C."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return plain.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))

"""Several runs side by side: one row for each sentence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from conformance.registry import fingerprint
from conformance.runner import BROKEN, DEVIATES, FAIL, PASS, SKIP, Finding, Run
from conformance.sentences import LEVELS, Sentence, catalogue

# A sentence that has no test, and one that a report says nothing of: it was made with --select, or
# by another version of the suite.
UNTESTED, MISSING = "untested", "missing"
# The worst that a test found about a sentence is what the matrix shows.
_WEIGHT = {BROKEN: 5, FAIL: 4, DEVIATES: 3, PASS: 2, SKIP: 1}
_LONGEST = 900


@dataclass(frozen=True)
class Cell:
    """What one run found about one sentence: what was seen, and done, for this outcome."""

    outcome: str
    saw: str
    did: str


@dataclass(frozen=True)
class Row:
    """A sentence, and what each run found about it."""

    sentence: Sentence
    cells: tuple[Cell, ...]


def name(run: Run) -> str:
    """Return the short name and version of a runtime: "runc 1.1.5"."""
    words = run.version.replace(" version ", " ").split()
    return " ".join(words[:2]) if len(words) > 1 else Path(run.runtime).name


def made_by(run: Run) -> str:
    """Return whether this version of the suite has made a report, in words."""
    return "this" if run.suite == fingerprint() else "another version"


def kind(run: Run) -> str:
    """Return on what kind of machine a run was: "v2", "v1, aarch64"."""
    architecture = run.host["architecture"]
    return run.host["cgroups"] + ("" if architecture == "x86_64" else f", {architecture}")


def rows(runs: list[Run]) -> list[Row]:
    """Return a row for each sentence of the catalogue, in the specification's order."""
    found = [_by_sentence(run) for run in runs]
    return [
        Row(sentence, tuple(_cell(sentence, findings.get(sentence.id, [])) for findings in found))
        for sentence in catalogue().values()
    ]


def totals(table: list[Row], column: int, level: str | None = None) -> Counter[str]:
    """Return how many sentences of a level (all, if None) have which outcome in a column."""
    return Counter(
        row.cells[column].outcome for row in table if level in {None, row.sentence.level}
    )


def sums(table: list[Row], column: int) -> list[str]:
    """Return a run's cells in a table of sums: "N of M" by level and of all, then how many deviate,
    were skipped, and are missing.
    """
    cells = []
    for level in (*LEVELS, None):
        count = totals(table, column, level)
        cells.append(f"{count[PASS]} of {count[PASS] + count[FAIL] + count[BROKEN]}")
    count = totals(table, column)
    return [*cells, *(str(count[outcome]) for outcome in (DEVIATES, SKIP, MISSING))]


def _by_sentence(run: Run) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in run.findings:
        found.setdefault(finding.sentence, []).append(finding)
    return found


def _cell(sentence: Sentence, findings: list[Finding]) -> Cell:
    if not findings:
        if sentence.untested:
            return Cell(UNTESTED, sentence.untested, "")
        return Cell(MISSING, "not selected, or not in the version of the suite that made it", "")
    outcome = max((finding.outcome for finding in findings), key=_WEIGHT.__getitem__)
    told = [finding for finding in findings if finding.outcome == outcome]
    saw = " / ".join(dict.fromkeys(finding.saw for finding in told))
    if outcome == DEVIATES:
        saw += f" Why: {sentence.contested}."
    did = " ".join(dict.fromkeys(finding.did for finding in told))
    return Cell(outcome, saw[:_LONGEST], did)

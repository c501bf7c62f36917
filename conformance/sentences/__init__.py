"""The catalogue: what the specification asks of a runtime, sentence by sentence, in our own words.

A catalogue file has one sentence a line, `id | LEVEL | words`, below a `## PAGE#ANCHOR Title`
heading. Indented lines add to the sentence before: `untested: why` no test can be made, or
`contested: why` those who call runtimes rely on the opposite, or the specification contradicts
itself; a runtime that fails such a sentence deviates, which is shown but does not fail the run.

LEVEL is MUST (also MUST NOT, REQUIRED), SHOULD (also SHOULD NOT, RECOMMENDED) or STATED: said
without a key word.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from conformance import SPEC_URL

LEVELS = ("MUST", "SHOULD", "STATED")
PAGES = ("runtime", "config", "linux", "features")


@dataclass(frozen=True)
class Sentence:
    """One sentence of the specification: `section` is PAGE#ANCHOR, `title` its heading."""

    id: str
    level: str
    section: str
    title: str
    text: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def untested(self) -> str:
        """Why there is no test, "" if there must be one."""
        return self.notes.get("untested", "")

    @property
    def contested(self) -> str:
        """Why it is not held against a runtime that fails it, "" if it is."""
        return self.notes.get("contested", "")

    @property
    def url(self) -> str:
        """Where the specification says so."""
        return SPEC_URL + self.section


class CatalogueError(ValueError):
    """A line of the catalogue that cannot be read; names file and line."""


def parse(text: str, origin: str) -> list[Sentence]:
    """Read one catalogue file; raises CatalogueError for a line of no known form."""
    found: list[Sentence] = []
    section = title = ""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{origin}:{number}"
        if line.startswith("## "):
            section, _, title = line[3:].partition(" ")
        elif line.startswith("  ") and found:
            key, _, reason = line.strip().partition(": ")
            if key not in {"untested", "contested"} or not reason:
                raise CatalogueError(f"{where}: not `untested: why` or `contested: why`")
            found[-1] = replace(found[-1], notes={**found[-1].notes, key: reason})
        elif line and not line.startswith("# "):
            parts = [part.strip() for part in line.split("|", 2)]
            if len(parts) != 3 or parts[1] not in LEVELS or not section:
                raise CatalogueError(f"{where}: not `id | LEVEL | words` below a heading")
            found.append(Sentence(parts[0], parts[1], section, title, parts[2]))
    return found


@cache
def catalogue() -> dict[str, Sentence]:
    """Return every sentence by its id, in the specification's order."""
    sentences: dict[str, Sentence] = {}
    for page in PAGES:
        path = Path(__file__).with_name(f"{page}.txt")
        for sentence in parse(path.read_text(encoding="utf-8"), path.name):
            if sentence.id in sentences:
                raise CatalogueError(f"{path.name}: {sentence.id} is there twice")
            sentences[sentence.id] = sentence
    return sentences

"""Differences that are meant: differences.toml, and the page for people that is made of it.

    python -m tests.field.differences > docs/differences.md

An entry is

    [[difference]]
    title = "..."           a heading of the page
    reason = "..."          what we do, what the peers do, and why we do not
    page = "security.md"    where the page's reader finds more, in docs/; may have an #anchor
    places = ["..."]        patterns of observations (fnmatch; see observe.py)
    ours = "..."            further patterns, of what was seen: only then is it this difference
    peers = "..."
    config = {"/ociVersion" = "1.3*"}    and of values in config.json

Entries without `places` are for the page alone: what the cases cannot see.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.field.case import get_at
from tests.field.compare import Difference, Outcome

FILE = Path(__file__).with_name("differences.toml")
HEAD = """\
# Coming from runc or crun

ociruntime takes the same bundles and the same command line. The specification's MUSTs stand; where
it is silent, or only recommends, and the newest runc and crun agree, it does what they do. These
are the places where it does not, each with its reason. `tests/field` plays many
configurations with all three and fails for any other difference; this page is made from its list
(`tests/field/differences.toml`).
"""


@dataclass(frozen=True)
class Meant:
    """One entry of the file."""

    title: str
    reason: str
    page: str
    places: tuple[str, ...] = ()
    ours: str = "*"
    peers: str = "*"
    config: Mapping[str, str] = field(default_factory=dict)

    def covers(self, found: Difference, config: Mapping[str, Any]) -> bool:
        """Tell whether a difference is this one."""
        return (
            all(
                fnmatchcase(str(get_at(config, pointer)), pattern)
                for pointer, pattern in self.config.items()
            )
            and any(fnmatchcase(found.place, pattern) for pattern in self.places)
            and fnmatchcase(found.ours, self.ours)
            and fnmatchcase(found.peers, self.peers)
        )


def read(file: Path = FILE) -> list[Meant]:
    """Return the entries; raises TypeError for one that lacks a member or has another."""
    entries = tomllib.loads(file.read_text()).get("difference", [])
    return [Meant(**{**entry, "places": tuple(entry.get("places", ()))}) for entry in entries]


def unmeant(outcome: Outcome, meant: Sequence[Meant]) -> list[Difference]:
    """Return the differences that no entry covers."""
    return [
        one
        for one in outcome.found
        if not any(entry.covers(one, outcome.config) for entry in meant)
    ]


def page(meant: Sequence[Meant]) -> str:
    """Return docs/differences.md; entries of one title are one section."""
    sections: dict[str, list[Meant]] = {}
    for entry in meant:
        sections.setdefault(entry.title, []).append(entry)
    lines = [HEAD]
    for title, entries in sections.items():
        lines.append(f"## {title}\n")
        reasons = dict.fromkeys(entry.reason.strip() for entry in entries)
        lines += [f"{reason}\n" for reason in reasons]
        pages = dict.fromkeys(entry.page for entry in entries)
        lines.append(
            "More: " + ", ".join(f"[{name.partition('#')[0]}]({name})" for name in pages) + "\n"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page(read()))

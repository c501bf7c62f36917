"""The configurations that docs/ shows, word by word."""

from __future__ import annotations

import textwrap
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> list[str]:
    """The blocks of `docs/PAGE` that are set off by four spaces, without them."""
    found: list[list[str]] = [[]]
    before = ""
    for line in (DOCS / page).read_text().splitlines():
        if (line.startswith("    ") and (found[-1] or not before)) or (not line and found[-1]):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
        before = line
    return [textwrap.dedent("\n".join(lines)).strip() + "\n" for lines in found if lines]


def block(page: str, beginning: str) -> str:
    """The only block of a page that begins so."""
    (found,) = (text for text in blocks(page) if text.startswith(beginning))
    return found

"""The figures of docs/security.md: written between their marks, and nowhere else."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support import tally

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def test_every_name_is_counted_somewhere() -> None:
    """A figure that nobody counts would be 0 for ever."""
    told = set(re.findall(r"{(\w+)}", tally.TEXT)) - {"date", "kernel", "cores", "passed", "scope"}
    counted = set()
    for path in (CHECKOUT / "tests").rglob("*.py"):
        counted |= set(re.findall(r"\b(?:count|tally)\(\s*\"(\w+)\"", path.read_text()))
    assert told <= counted


def test_the_page_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "COUNTS", Counter())
    tally.count("faults", 77)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tally.BEGIN}of last time\n{tally.END}behind\n")
    for _ in range(2):
        text = tally.write(page, 5, 1.5, "all of it")
        assert page.read_text() == f"before\n{tally.BEGIN}\n{text}\n{tally.END}behind\n"
    assert "77 faults" in text
    assert "5 tests, all of it" in text
    assert "0 things were left" in text
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="no place for figures"):
        tally.write(page, 5, 1.5, "all of it")
    assert page.read_text() == "no marks\n"


def test_the_page_has_a_place() -> None:
    text = (CHECKOUT / "docs" / "security.md").read_text()
    assert text.count(tally.BEGIN) == text.count(tally.END) == 1

"""docs/spec-conformance.md is up to date, and what it names is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import spec_page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "spec-conformance.md"


def test_every_sentence_is_held() -> None:
    assert spec_page.faults() == []


def test_up_to_date() -> None:
    assert PAGE.read_text() == spec_page.page(), "python -m tests.support.spec_page > docs/..."


def test_no_row_is_unsupported() -> None:
    rows = [line for line in spec_page.page().splitlines() if line.startswith("| ")]
    assert len(rows) > 480
    held_by = [row.rstrip(" |").rpartition(" | ")[2] for row in rows]
    assert not [cell for cell in held_by if not cell or "support" in cell]


def test_faults_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [(["affinity.final"], ["kernel/test_attributes.py::test_nosuch"])]
    monkeypatch.setattr(spec_page, "table", lambda: lines)
    found = spec_page.faults()
    assert "kernel/test_attributes.py::test_nosuch: no such test" in found
    # The suite cannot look at it: without a test of ours it has none.
    assert "affinity.initial: no test" in found


def test_lines_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    monkeypatch.setattr(spec_page, "TABLE", file)
    for text, reason in (("nonsense\n", ":1: not"), ("no.such: a::b\n", ":1: no.such fits no")):
        file.write_text(text)
        with pytest.raises(spec_page.TableError, match=reason):
            spec_page.table.__wrapped__()

"""The pictures are of what the pages and screens say, and nothing in them is cut."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
DOCS = CHECKOUT / "docs"
NAMES = ("conformance", "performance", "plan")
SVG = "{http://www.w3.org/2000/svg}"
LETTER = 7.4  # of the widest of usual fonts, at 12 pixels
README = (CHECKOUT / "README.md").read_text()
PERFORMANCE = (DOCS / "performance.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_the_page_says(name: str) -> None:
    code = f"import pictures; print(pictures.PICTURES[{name!r}](), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(CHECKOUT / "manual"), "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.stdout == (DOCS / f"{name}.svg").read_text(), f"manual/pictures.py {name}"


@pytest.mark.parametrize("name", NAMES)
def test_words_are_whole(name: str) -> None:
    """They end before the paper does, and before what stands to their right begins."""
    root = ET.parse(DOCS / f"{name}.svg").getroot()
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    boxes = [
        (float(part.attrib["y"]), float(part.attrib["x"]), len(part.text or "") * LETTER)
        for part in root.iter(f"{SVG}text")
    ]
    assert boxes
    bars = [
        (float(part.attrib["y"]) + 11, float(part.attrib["x"]))
        for part in root.iter(f"{SVG}rect")
        if "x" in part.attrib
    ]
    for y, x, length in boxes:
        assert x + length <= width + LETTER
        assert y <= height
        for top, left in [*bars, *((top, left) for top, left, _ in boxes)]:
            assert not (top == y and x < left < x + length - 2 * LETTER), (y, x)
    assert "…" not in ET.tostring(root, "unicode")


def test_they_are_readable_in_the_dark() -> None:
    for name in NAMES:
        assert "prefers-color-scheme:dark" in (DOCS / f"{name}.svg").read_text()


def test_readme_has_the_figures_of_the_page() -> None:
    rows = dict(re.findall(r"(?m)^\| (run \(full\)|sum of the six|exec) \| (.*) \|$", PERFORMANCE))
    figures = re.findall(r"(?m)^\| .* \| (\d[\d.]+(?: \| \d[\d.]+){3}) \|$", README)
    assert len(figures) == 3
    assert set(figures) == {" | ".join(cells.split(" | ")[-4:]) for cells in rows.values()}
    init = re.search(r"(?m)^\| waiting init, PSS KiB \| (\d+) ", PERFORMANCE)
    assert init is not None
    assert f"takes {init[1]} KiB (PSS)" in README
    for version in re.findall(r"(?m)^- (?:runc|crun) version ([\d.]+)", PERFORMANCE):
        assert version in README


def test_readme_tells_what_the_matrix_shows() -> None:
    root = ET.parse(DOCS / "conformance.svg").getroot()
    shown = " ".join(part.text or "" for part in root.iter(f"{SVG}text"))
    (words,) = re.findall(r"!\[([^]]*)\]\(docs/conformance.svg\)", README)
    assert set(re.findall(r"\d[\d.]*", words)) <= set(re.findall(r"\d[\d.]*", shown))
    assert len(re.findall(r"\d+", words)) > 6

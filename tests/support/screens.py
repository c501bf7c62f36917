"""What a terminal shows, kept as text files below tests/screens: one for each width, or
one for all.

A test that differs says how; who means the new text writes it with SCREENS=write.
"""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[1] / "screens"
WIDTHS = (80, 160)


def check(name: str, width: int, text: str) -> None:
    """Compare `text` with the screen NAME-WIDTH.txt, and its lines with the width."""
    assert max(map(len, text.splitlines()), default=0) <= width, f"{name}: wider than {width}"
    assert text == "" or text.endswith("\n")
    _compare(DIRECTORY / f"{name}-{width}.txt", text)


def check_lines(name: str, text: str) -> None:
    """Compare `text`, which is the same whatever the width, with the screen NAME.txt."""
    _compare(DIRECTORY / f"{name}.txt", text)


def _compare(file: Path, text: str) -> None:
    if os.environ.get("SCREENS") == "write":
        file.write_text(text)
    assert text == file.read_text(), f"{file.name} differs; SCREENS=write takes the new one"

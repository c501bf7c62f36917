"""What a terminal shows, kept as text files below tests/screens: one for each width.

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
    file = DIRECTORY / f"{name}-{width}.txt"
    if os.environ.get("SCREENS") == "write":
        file.write_text(text)
    assert text == file.read_text(), f"{file.name} differs; SCREENS=write takes the new one"

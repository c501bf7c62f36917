"""Where text for people goes: as wide as the terminal, with colours on a terminal only.

NO_COLOR (https://no-color.org) and TERM=dumb switch them off. Into a pipe lines are WIDTH long, or
what --width says.
"""

from __future__ import annotations

import os
import textwrap

from ociruntime.errors import one_line

WIDTH, LEAST = 100, 40
# ECMA-48, Select Graphic Rendition.
BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
INDENT = "  "


class Screen:
    """Lines of at most ``width`` characters; ``coloured`` if it may mark words."""

    def __init__(self, width: int, *, coloured: bool = False) -> None:
        self.width = max(LEAST, width)
        self.coloured = coloured

    @classmethod
    def of(cls, width: int) -> Screen:
        """Standard output's; ``width`` is what the caller has asked for, 0 for nothing."""
        tty = os.isatty(1)
        return cls(width or columns(), coloured=tty and may_colour())

    def mark(self, text: str, code: str) -> str:
        """``text`` in this rendition."""
        return f"\033[{code}m{text}\033[0m" if self.coloured and text else text

    def paragraph(self, text: str, indent: str = INDENT, first: str | None = None) -> list[str]:
        """Lines of ``text``, each behind ``indent``, the first one behind ``first``."""
        return textwrap.wrap(
            one_line(text),
            self.width,
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )

    def pairs(
        self, entries: list[tuple[str, str]], indent: str = INDENT, most: int = 0
    ) -> list[str]:
        """Names and what is said of them, in two columns; names that are longer than ``most`` (0: a
        third of the width) stand alone.
        """
        longest = max((len(name) for name, _ in entries), default=0)
        most = most or min(longest, self.width // 3)
        lines: list[str] = []
        for name, text in entries:
            head = f"{indent}{self.mark(name, BOLD)}"
            below = " " * (len(indent) + most + 2)
            if len(name) > most:
                lines += [head, *self.paragraph(text, below)]
                continue
            wrapped = self.paragraph(text, below) or [below]
            pad = " " * (most - len(name) + 2)
            lines += [(head + pad + wrapped[0].lstrip()).rstrip(), *wrapped[1:]]
        return lines


def columns() -> int:
    """Of the terminal that standard output is, else WIDTH."""
    try:
        return os.get_terminal_size(1).columns or WIDTH
    except OSError:
        return WIDTH


def may_colour() -> bool:
    """Whether the caller lets us use colours."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

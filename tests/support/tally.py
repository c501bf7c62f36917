"""What a run of the tests has tried, counted, and told in docs/security.md (--tally PAGE).

Tests count where they try something: `count("faults")`. With pytest-xdist each worker counts for
itself, and the controlling process adds that up.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from pathlib import Path

COUNTS: Counter[str] = Counter()
BEGIN, END = "<!-- figures: make security-figures -->\n", "<!-- end of figures -->\n"
TEXT = """One run on {date} (Linux {kernel}, {cores} cores; {passed} tests, {scope};
each race for {seconds:g} s at most):

- {calls} calls of the command, of which {refused} were refused with one line that says why;
- {faults} faults injected into creates, at their steps and system calls, before and after these;
- {kills} operations killed at one of their steps or lines, {torments} whose init was killed,
  stopped or frozen below them, {pairs} pairs of commands at once;
- {rounds} rounds of races, each against somebody who swaps names all the time;
- {sandboxes} times everything was looked through afterwards for processes, mounts, cgroups,
  files and devices: {left} things were left.
"""


def count(what: str, number: int = 1) -> None:
    """Count `number` more of `what`, a name in TEXT."""
    COUNTS[what] += number


def write(page: Path, passed: int, seconds: float, scope: str) -> str:
    """Put the figures between the marks of the page, and return them.

    `seconds` is the longest time of a race; `scope` says which tests ran. Raises ValueError for a
    page without the marks.
    """
    names = re.findall(r"{(\w+)}", TEXT)
    facts = dict.fromkeys(names, 0) | COUNTS
    text = TEXT.format(
        **facts
        | {
            "date": time.strftime("%Y-%m-%d"),
            "kernel": os.uname().release.partition("-")[0],
            "cores": os.cpu_count(),
            "passed": passed,
            "seconds": seconds,
            "scope": scope,
        }
    )
    before, _, rest = page.read_text().partition(BEGIN)
    _, mark, behind = rest.partition(END)
    if not mark:
        raise ValueError(f"{page}: no place for figures between {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{behind}")
    return text

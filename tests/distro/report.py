"""Writes what `run` found on each distribution into the table of a page: report.py PAGE"""

from __future__ import annotations

import sys
from pathlib import Path

RESULTS = Path("build/distro")
BEGIN, END = "<!-- made by `make distro-test` -->\n", "<!-- end -->\n"
COLUMNS = {
    "distribution": "distribution",
    "architecture": "architecture",
    "python": "Python",
    "demo": "demo",
    "image": "start image",
    "tests": "tests",
    "state": "`state` : bare start",
}


def read(path: Path) -> dict[str, str]:
    """The results of one distribution."""
    fields = [line.split(" ", 2) for line in path.read_text().splitlines()]
    return {name: value for _, name, value in fields}


def key(line: str) -> tuple[str, ...]:
    """What a row is about: distribution and architecture."""
    return tuple(cell.strip() for cell in line.split("|")[1:3])


def main(arguments: list[str]) -> int:
    """Rows of distributions that were not tested now stay as they are."""
    page = Path(arguments[0])
    before, _, rest = page.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {key(line): line for line in table.splitlines()[2:]}
    for path in sorted(RESULTS.glob("*.result")):
        found = read(path)
        if "conformance" in found:
            found["tests"] += f"; conformance suite: {found['conformance']}"
        line = "| " + " | ".join(found.get(name, "") for name in COLUMNS) + " |"
        rows[key(line)] = line
    head = "| " + " | ".join(COLUMNS.values()) + " |\n" + "| --- " * len(COLUMNS) + "|\n"
    lines = "".join(f"{line}\n" for line in rows.values())
    page.write_text(f"{before}{BEGIN}{head}{lines}{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Draws what pages and programs say as pictures: SVG that needs nothing else, on light and dark.

pictures.py [NAME...] writes docs/NAME.svg, all of them without a name:

    conformance  of docs/conformance.md: the newest version of each runtime
    performance  of docs/performance.md: wall time of each command
    plan         of tests/screens/plan-80.txt: what `ociruntime plan` prints
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

from commands import CHECKOUT

DOCS = CHECKOUT / "docs"
SCREEN = CHECKOUT / "tests" / "screens" / "plan-80.txt"
COLOURS = {"ociruntime": "#3c78b4", "runc": "#b4783c", "crun": "#6a9a4c"}
OTHER = "#8a8f98"
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.head{font-weight:600}"
    ".code text{font:12px ui-monospace,monospace;white-space:pre}.code .head{font-weight:600}"
    ".name{fill:#205c96}"
    ".dim{fill:#6a6f78}.paper{fill:#fff}@media(prefers-color-scheme:dark){"
    ".paper{fill:#16181d}text{fill:#ddd}.name{fill:#7db7ee}.dim{fill:#9aa0aa}}"
)
MARGIN, BAR, GAP = 14, 15, 12
# Of a row the columns: what was done, by whom, and behind the bar what that means.
TASK, WHO, MEANING = 150, 120, 260
WIDTH = 900
# Of the plan as many lines as a picture has room for, and the place of a letter.
SHOWN, LINE, LETTER = 18, 17, 7.23


def cells(line: str) -> list[str]:
    """A row of a table in Markdown."""
    return [cell.strip(" *") for cell in line.strip().strip("|").split("|")]


def table(page: str, corner: str) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the only table whose second column is called `corner`."""
    for block in re.findall(r"(?m)(?:^\|.*\n)+", page):
        head, _, *rows = [cells(line) for line in block.splitlines()]
        if corner in head:
            return head, rows
    raise SystemExit(f"no table has a column {corner}")


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """One line of words."""
    kinds = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kinds}>{escape(words)}</text>'


def bar(x: float, y: float, length: float, name: str) -> str:
    """One bar in the colour of its runtime."""
    colour = COLOURS.get(name.split(maxsplit=1)[0], OTHER)
    return (
        f'<rect x="{x}" y="{y}" width="{length:.1f}" height="{BAR - 2}" rx="2" fill="{colour}"/>'
    )


def picture(title: str, width: int, height: float, parts: Iterable[str]) -> str:
    """The whole file."""
    size = f'viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height:.0f}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def newest(names: list[str]) -> set[str]:
    """The highest version of each runtime among `runc 1.3.6+ds1 (v1)` and its like."""
    best: dict[str, tuple[list[int], str]] = {}
    for name in names:
        program, version, *_ = name.split()
        key = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]
        if program not in best or key > best[program][0]:
            best[program] = (key, name)
    return {name for _, name in best.values()}


def conformance() -> str:
    """How many sentences hold, of those that could be judged."""
    page = (DOCS / "conformance.md").read_text()
    head, rows = table(page, "deviations")
    rows = [row for row in rows if row[0].endswith("(v1)")]
    kept = newest([row[0] for row in rows])
    specification = re.search(r"runtime-spec\)\s+(\S+)", page)
    assert specification is not None
    title = f"Sentences of the OCI runtime specification {specification[1]} that hold when tried"
    parts = [text(MARGIN, 24, title, "head")]
    y, room = 44.0, WIDTH - 2 * MARGIN - WHO - MEANING
    for row in rows:
        if row[0] not in kept:
            continue
        program, version, _ = row[0].split()
        held, judged = map(int, row[head.index("all")].split(" of "))
        name = f"{program} {version.partition('+')[0]}"
        words = f"all {held}" if held == judged else f"{held} of {judged}, {judged - held} do not"
        parts.append(text(MARGIN, y + 11, name, "head" if held == judged else ""))
        parts.append(bar(MARGIN + WHO, y, room * held / judged, name))
        parts.append(text(MARGIN + WHO + room * held / judged + 8, y + 11, words))
        y += BAR + GAP
    system = next(row for row in table(page, "ociVersion used")[1] if row[3] == "v1")
    release = ".".join(system[2].split(".")[:2])
    note = f"{system[1].partition(' (')[0]}, Linux {release}, cgroup v1"
    parts.append(text(MARGIN, y + 11, f"{note}; what cannot be shown there is not counted", "dim"))
    return picture(title, WIDTH, y + 24, parts)


def performance() -> str:
    """Wall time of each command; each has a scale of its own."""
    page = (DOCS / "performance.md").read_text()
    head, rows = table(page, "ociruntime wall / CPU ms")
    versions = re.findall(r"(?m)^- (\S+) version ([^\s+]+)", page)
    names = [" ".join(version) for version in versions]
    columns = [index for index, name in enumerate(head) if name.endswith("wall / CPU ms")]
    places = [index for index, name in enumerate(head) if name.startswith("wall, ours")]
    ratios = dict(zip(names[1:], places, strict=True))
    assert len(columns) == len(names)
    title = "Wall time, medians in milliseconds"
    parts = [text(MARGIN, 24, title, "head")]
    y, room = 44.0, WIDTH - 2 * MARGIN - TASK - WHO - MEANING
    for row in rows:
        wall = [float(row[column].partition(" / ")[0]) for column in columns]
        parts.append(text(MARGIN, y + 11, row[0], "head"))
        for name, value in zip(names, wall, strict=True):
            x = MARGIN + TASK
            length = room * value / max(wall)
            parts.append(text(x, y + 11, name))
            parts.append(bar(x + WHO, y, length, name))
            words = f"{value:.1f}"
            if name != names[0]:
                words += f"; {names[0].split()[0]} takes {row[ratios[name]]} of it"
            parts.append(text(x + WHO + length + 8, y + 11, words))
            y += BAR
        y += GAP
    return picture(title, WIDTH, y + 4, parts)


def plan() -> str:
    """The beginning of a plan, as a terminal of 80 columns shows it."""
    lines = SCREEN.read_text().splitlines()
    shown = lines[:SHOWN]
    while not re.match(r"  \S", lines[len(shown)]):  # a step is not cut
        shown.append(lines[len(shown)])
    while not shown[-1].startswith("  "):  # nor is the heading of those that are left out shown
        shown.pop()
    rest = sum(bool(re.match(r"  \S", line)) for line in lines[len(shown) :])
    title = "$ ociruntime plan --bundle b c1"
    parts = ['<g class="code">', text(MARGIN, 26, title, "head")]
    y = 26.0 + 1.5 * LINE
    last = next(line for line in reversed(lines) if re.match(r"  \S.*  ", line))
    for line in [*shown, "", f"  and {rest} more, down to: {re.split('  +', last)[2]}"]:
        step = re.match(r"(  \S.*?)(?:  +(.*))?$", line)
        if step and line in shown:
            parts.append(text(MARGIN, y, step[1], "name"))
            if step[2]:
                parts.append(text(MARGIN + LETTER * step.start(2), y, step[2]))
        elif line.startswith("   "):
            parts.append(text(MARGIN + LETTER * (len(line) - len(line.lstrip())), y, line.lstrip()))
        elif line:
            parts.append(text(MARGIN, y, line, "head" if line in shown else "dim"))
        y += LINE
    parts.append("</g>")
    return picture(title, round(2 * MARGIN + LETTER * 80), y, parts)


PICTURES: dict[str, Callable[[], str]] = {
    "conformance": conformance,
    "performance": performance,
    "plan": plan,
}


def main(names: list[str]) -> int:
    """Write the pictures."""
    for name in names or PICTURES:
        (DOCS / f"{name}.svg").write_text(PICTURES[name]())
        print(Path("docs") / f"{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

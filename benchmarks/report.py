"""The measurements as a Markdown table and as a self-contained SVG plot."""

from __future__ import annotations

import statistics
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.rounds import Bench

WIDTH, LABELS, BAR, GAP, TOP = 900, 190, 13, 14, 62
COLOURS = ("#3c78b4", "#b4783c", "#6a9a4c", "#8a5aa0", "#8a8f98", "#b43c3c")
ROOM = 130
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){.paper{fill:#16181d}text{fill:#ddd}}"
)


def medians(bench: Bench, row: str) -> tuple[dict[str, float], dict[str, float]]:
    """Wall and CPU milliseconds of each runtime."""
    by_runtime = bench.samples[row]
    wall = {r: statistics.median(s.wall for s in by_runtime[r]) * 1000 for r in bench.runtimes}
    cpu = {r: statistics.median(s.cpu for s in by_runtime[r]) * 1000 for r in bench.runtimes}
    return wall, cpu


def table(bench: Bench, names: list[str]) -> str:
    """Medians and the ratios of ours to the others'."""
    ours = bench.runtimes[0]
    head = ["", *[f"{name} wall / CPU ms" for name in names]]
    head += [f"{kind}, ours : {name}" for kind in ("wall", "CPU") for name in names[1:]]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in bench.samples:
        wall, cpu = medians(bench, row)
        cells = [row]
        cells += [
            f"{wall[r]:.1f} / {cpu[r]:.1f}" if cpu[r] else f"{wall[r]:.1f}" for r in bench.runtimes
        ]
        for values in (wall, cpu):
            cells += [
                f"{values[ours] / values[r]:.2f}" if values[r] else "" for r in bench.runtimes[1:]
            ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for row, numbers in bench.numbers.items():
        cells = [f"{statistics.median(numbers[r]):.3g}" for r in bench.runtimes]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(bench: Bench, names: list[str]) -> str:
    """Wall time of each row as bars, ours first; each row has its own scale."""
    rows = list(bench.samples)
    height = TOP + len(rows) * (BAR * len(names) + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Wall time of {escape(', '.join(names))}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        '<text x="12" y="20">Wall time, medians in milliseconds; shorter is better</text>',
    ]
    for index, name in enumerate(names):
        x = 12 + index * 150
        parts.append(f'<rect x="{x}" y="32" width="12" height="12" fill="{_colour(index)}"/>')
        parts.append(f'<text x="{x + 17}" y="42">{escape(name)}</text>')
    y = TOP
    for row in rows:
        wall = medians(bench, row)[0]
        longest = max(wall.values())
        middle = y + BAR * len(names) / 2 + 4
        parts.append(f'<text x="12" y="{middle:.0f}">{escape(row)}</text>')
        for index, runtime in enumerate(bench.runtimes):
            length = wall[runtime] / longest * (WIDTH - LABELS - ROOM)
            parts.append(
                f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR - 1}"'
                f' fill="{_colour(index)}"/>'
            )
            ratio = f" ({wall[bench.runtimes[0]] / wall[runtime]:.2f} ours)" if index else ""
            x = LABELS + length + 5
            text = f"{wall[runtime]:.1f}{ratio}"
            parts.append(f'<text x="{x:.1f}" y="{y + BAR - 2}">{text}</text>')
            y += BAR
        y += GAP
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def labels(runtimes: list[str]) -> list[str]:
    """The names of the binaries, with their directories where two have the same."""
    names = [Path(runtime).name for runtime in runtimes]
    return [
        name if names.count(name) == 1 else runtime
        for name, runtime in zip(names, runtimes, strict=True)
    ]

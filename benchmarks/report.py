"""The measurements as a Markdown table; manual/pictures.py draws it."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.rounds import Bench


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


def labels(runtimes: list[str]) -> list[str]:
    """The names of the binaries, with their directories where two have the same."""
    names = [Path(runtime).name for runtime in runtimes]
    return [
        name if names.count(name) == 1 else runtime
        for name, runtime in zip(names, runtimes, strict=True)
    ]

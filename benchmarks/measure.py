"""Measuring one command, and the memory of processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass
class Sample:
    """Wall and CPU seconds of one command or several, and the largest resident KiB."""

    wall: float
    cpu: float
    rss: int = 0

    def add(self, other: Sample) -> None:
        """Sum up commands that followed one another."""
        self.wall += other.wall
        self.cpu += other.cpu
        self.rss = max(self.rss, other.rss)


class Meter:
    """Runs commands below a small program that counts (timed.c)."""

    def __init__(self, work: Path) -> None:
        self.program = work / "timed"
        source = CHECKOUT / "benchmarks" / "timed.c"
        subprocess.run(["cc", "-O2", "-static", "-o", self.program, source], check=True)
        self.result = work / "timed.out"

    def measure(self, command: list[str]) -> Sample:
        """Run ``command``, which must succeed."""
        # A file and no pipe: a created container keeps the standard streams, and a pipe would not
        # end.
        with tempfile.TemporaryFile() as errors:
            subprocess.run(
                [self.program, self.result, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                check=True,
            )
            status, wall, user, system, rss = map(int, self.result.read_text().split())
            if status:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace")
                sys.exit(f"{' '.join(command)}: status {status}: {said}")
        return Sample(wall / 1e9, (user + system) / 1e6, rss)


def state(base: list[str], container: str) -> dict[str, Any]:
    """What the runtime's ``state`` says."""
    output = subprocess.run([*base, "state", container], capture_output=True, check=True)
    document: dict[str, Any] = json.loads(output.stdout)
    return document


def wait_stopped(base: list[str], container: str) -> None:
    """Until the killed process is gone: not part of any measurement."""
    while state(base, container)["status"] != "stopped":
        time.sleep(0.002)


def pss_kib(pid: int) -> int:
    """The proportional set size of a process in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0

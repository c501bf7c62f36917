"""What is measured of each runtime in turn."""

from __future__ import annotations

import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import Meter, Sample, pss_kib, state, wait_stopped

COMMANDS = ("create", "start", "state", "exec", "kill", "delete")
SEQUENTIAL, PARALLEL = 100, 50
EDGE = 25


class Bench:
    """The measurements of all runtimes: ``samples[row][runtime]`` and ``numbers[row][runtime]``."""

    def __init__(self, runtimes: list[str], work: Path) -> None:
        self.runtimes = runtimes
        self.work = work
        self.meter = Meter(work)
        self.samples: dict[str, dict[str, list[Sample]]] = {}
        self.numbers: dict[str, dict[str, list[float]]] = {}
        self.counter = 0
        # (beginning of a command line, id) of containers that are there now
        self.alive: list[tuple[list[str], str]] = []

    def clean(self) -> None:
        """Remove every container that is still there: after a crowd, or a failure."""
        for base, name in self.alive:
            subprocess.run(
                [*base, "delete", "--force", name], check=False, stderr=subprocess.DEVNULL
            )
        self.alive.clear()

    def base(self, runtime: str) -> list[str]:
        """The beginning of each command line."""
        return [runtime, "--root", str(self.work / f"root-{self.runtimes.index(runtime)}")]

    def name(self) -> str:
        """A container's id that was never used."""
        self.counter += 1
        return f"bench{self.counter}"

    def add(self, row: str, runtime: str, sample: Sample) -> None:
        """Note one sample."""
        self.samples.setdefault(row, {}).setdefault(runtime, []).append(sample)

    def note(self, row: str, runtime: str, number: float) -> None:
        """Note a number that is no time."""
        self.numbers.setdefault(row, {}).setdefault(runtime, []).append(number)

    def round(self, runtime: str) -> None:
        """One turn of one runtime: two runs, and the six commands of a container's life."""
        base = self.base(runtime)
        for name in ("minimal", "full"):
            sample = self.run(base, name)
            self.add(f"run ({name})", runtime, sample)
            self.note(f"run ({name}), peak RSS MiB", runtime, sample.rss / 1024)
        container = self.name()
        self.alive.append((base, container))
        arguments = {
            "create": ["--bundle", str(self.work / "sleeper"), container],
            "start": [container],
            "state": [container],
            "exec": [container, "/bin/true"],
            "kill": [container, "KILL"],
            "delete": [container],
        }
        total = Sample(0.0, 0.0)
        for verb in COMMANDS:
            sample = self.meter.measure([*base, verb, *arguments[verb]])
            self.add(verb, runtime, sample)
            total.add(sample)
            if verb == "create":
                pid = state(base, container)["pid"]
                self.note("waiting init, PSS KiB", runtime, pss_kib(pid))
            if verb == "kill":
                wait_stopped(base, container)
        self.alive.clear()
        self.add("sum of the six", runtime, total)
        self.note("largest of the six, peak RSS MiB", runtime, total.rss / 1024)

    def run(self, base: list[str], bundle: str) -> Sample:
        """Run a bundle's program to its end."""
        return self.meter.measure([*base, "run", "--bundle", str(self.work / bundle), self.name()])

    def sequence(self, runtime: str) -> None:
        """One hundred runs, one after the other."""
        total, started = Sample(0.0, 0.0), time.perf_counter()
        for _ in range(SEQUENTIAL):
            total.add(self.run(self.base(runtime), "minimal"))
        total.wall = time.perf_counter() - started
        self.add(f"{SEQUENTIAL} x run (minimal)", runtime, total)

    def together(self, runtime: str) -> None:
        """Fifty creates at once, and for comparison one after the other."""
        base = self.base(runtime)
        for workers in (1, PARALLEL):
            names = [self.name() for _ in range(PARALLEL)]
            self.alive += [(base, name) for name in names]
            commands = [[*base, "create", "--bundle", str(self.work / "sleeper"), n] for n in names]
            started = time.perf_counter()
            with ThreadPoolExecutor(workers) as pool:
                failed = PARALLEL - sum(pool.map(_create, commands))
            wall = time.perf_counter() - started
            if workers == 1:
                alone = wall
            else:
                self.add(f"{PARALLEL} x create at once", runtime, Sample(wall, 0.0))
                self.note(f"{PARALLEL} creates: one by one : at once", runtime, alone / wall)
                self.note(f"{PARALLEL} creates at once: failed", runtime, failed)
            self.clean()

    def crowd(self, runtime: str, count: int) -> None:
        """``count`` containers alive at the same time: what the first and the last ones cost."""
        base, names, cpu, wall = self.base(runtime), [], [], []
        for _ in range(count):
            names.append(self.name())
            self.alive.append((base, names[-1]))
            bundle = str(self.work / "crowd")
            sample = self.meter.measure([*base, "create", "--bundle", bundle, names[-1]])
            sample.add(self.meter.measure([*base, "start", names[-1]]))
            cpu.append(sample.cpu)
            wall.append(sample.wall)
        edge = min(EDGE, count // 2)
        for kind, values in (("wall", wall), ("CPU", cpu)):
            first, last = statistics.median(values[:edge]), statistics.median(values[-edge:])
            row = f"create + start, number {count} : number 1, {kind}"
            self.note(row, runtime, last / first)
        pids = [state(base, name)["pid"] for name in names[-edge:]]
        self.note("running container, PSS KiB", runtime, statistics.median(map(pss_kib, pids)))
        self.clean()


def _create(command: list[str]) -> bool:
    """Whether it succeeded; what it said if not goes to standard error."""
    null = subprocess.DEVNULL
    return subprocess.run(command, stdin=null, stdout=null, check=False).returncode == 0

"""Several runtimes side by side in one run, as ratios.

    python -m benchmarks.compare [--rounds N] [--alive N] [--output FILE] [RUNTIME...]

The runtimes take turns (A B C A B C ...), so that a machine whose speed drifts drifts for all of
them. Reported are medians of wall time and of user + system CPU time (of the command and all it
waited for; a created container's init is not waited for by anybody), peak RSS, PSS, and the ratio
of our median to the others'. Run as root. Without arguments: ours (of .venv), the newest runc and
crun there are (see benchmarks/peers.py), and what the variable RUNTIMES names.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from benchmarks.bundles import make_bundles  # noqa: E402
from benchmarks.peers import default_runtimes, versions  # noqa: E402
from benchmarks.report import labels, table  # noqa: E402
from benchmarks.rounds import Bench  # noqa: E402
from conformance.host import enter_own_mount_namespace  # noqa: E402

DEFAULT_ROUNDS, DEFAULT_ALIVE = 30, 500
REPEATS = 3


def run(runtimes: list[str], work: Path, rounds: int, alive: int) -> Bench:
    """Measure everything."""
    make_bundles(work)
    bench = Bench(runtimes, work)
    try:
        _measure(bench, rounds, alive)
    finally:
        bench.clean()
    return bench


def _measure(bench: Bench, rounds: int, alive: int) -> None:
    runtimes = bench.runtimes
    for runtime in runtimes:
        bench.round(runtime)  # caches are warm then
    bench.samples.clear()
    bench.numbers.clear()
    for _ in range(rounds):
        for runtime in runtimes:
            bench.round(runtime)
    for measured in (bench.sequence, bench.together):
        for _ in range(REPEATS):
            for runtime in runtimes:
                measured(runtime)
    if alive:
        for runtime in runtimes:
            bench.crowd(runtime, alive)


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--alive", type=int, default=DEFAULT_ALIVE, help="containers at a time")
    parser.add_argument("--output", type=Path, help="write the tables into this file as well")
    parser.add_argument("runtimes", nargs="*")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("benchmarks need root")
    enter_own_mount_namespace()  # crun asks for every controller that the kernel has
    runtimes = options.runtimes or default_runtimes()
    with tempfile.TemporaryDirectory(prefix="ocirt-bench-") as directory:
        bench = run(runtimes, Path(directory), options.rounds, options.alive)
    names = labels(runtimes)
    load = f"load average at the end {os.getloadavg()[0]:.1f}"
    text = (
        f"Linux {platform.release()}, {os.cpu_count()} CPUs, {options.rounds} rounds, {load}; "
        "medians of whole commands.\n\n"
        + versions(runtimes)
        + f"\n{table(bench, names)}\n"
    )
    print(text)
    if options.output:
        picture = f"![Wall time]({options.output.with_suffix('.svg').name})\n\n"
        head = "# Performance\n\nMade by `make bench`; not by hand.\n\n"
        options.output.write_text(head + picture + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The library against commands: create, start, wait and delete of /bin/true, in one run.

    benchmarks/library.py [--rounds N] [--full] [--launcher PATH]

Takes turns (A B C A B C ...) between the library with its resident zygote, `ociruntime run`, and
`runc run` and `crun run` where they are installed. Reported are medians of wall time and of user +
system CPU time (for the library: of this program's thread, the zygote and all its children), and
the ratios of the library to each. Run as root; crun needs every cgroup v1 controller mounted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bundles import config, make_rootfs
from benchmarks.measure import CHECKOUT, Meter, Sample
from ociruntime.api import Runtime

DEFAULT_ROUNDS = 40


def cpu_of(pid: int) -> int:
    """Nanoseconds of CPU that a process has used; Linux counts ended children in clock ticks, so
    these come from its cgroup-less sum in /proc/PID/stat.
    """
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, text[11:15])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def library_round(runtime: Runtime, bundle: Path, name: str) -> float:
    """Wall seconds of one container through the library."""
    started = time.perf_counter()
    container = runtime.create(bundle, name)
    container.start()
    if not container.wait(30).ok:
        sys.exit("the container failed")
    container.delete()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--full", action="store_true", help="a configuration as engines write it")
    parser.add_argument("--launcher", default=str(CHECKOUT / ".venv/bin/ociruntime"))
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="ociruntime-bench-"))
    bundle = directory / "bundle"
    make_rootfs(bundle / "rootfs")
    (bundle / "config.json").write_text(json.dumps(config(full=options.full, args=["/bin/true"])))
    meter = Meter(directory)
    commands = {"ociruntime run": options.launcher}
    for other in ("runc", "crun"):
        path = shutil.which(other)
        if path:
            commands[f"{other} run"] = path
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    walls: list[float] = []
    cpu = 0.0
    with Runtime(directory / "library", launcher=options.launcher) as runtime:
        library_round(runtime, bundle, "warm")
        zygote = zygote_of(os.getpid())
        for number in range(options.rounds):
            ours, theirs = time.thread_time(), cpu_of(zygote)
            walls.append(library_round(runtime, bundle, f"library-{number}"))
            cpu += time.thread_time() - ours + (cpu_of(zygote) - theirs) / 1e9
            for name, path in commands.items():
                root = str(directory / name.replace(" ", "-"))
                call = [path, "--root", root, "run", "--bundle", str(bundle), f"bench-{number}"]
                samples[name].append(meter.measure(call))
    shutil.rmtree(directory)
    wall = statistics.median(walls)
    print(f"library: wall {wall * 1e3:.2f} ms, CPU {cpu / options.rounds * 1e3:.2f} ms (mean)")
    for name, measured in samples.items():
        other_wall = statistics.median(sample.wall for sample in measured)
        other_cpu = statistics.fmean(sample.cpu for sample in measured)
        print(
            f"{name}: wall {other_wall * 1e3:.2f} ms, CPU {other_cpu * 1e3:.2f} ms (mean); "
            f"library is {wall / other_wall:.2f} of its wall, "
            f"{cpu / options.rounds / other_cpu:.2f} of its CPU"
        )


def zygote_of(pid: int) -> int:
    """The zygote among the children of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    names = {int(child): Path(f"/proc/{child}/comm").read_text().strip() for child in children}
    return next(child for child, name in names.items() if name == "oci-zygote")


if __name__ == "__main__":
    main()

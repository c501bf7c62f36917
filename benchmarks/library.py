"""The library against commands: create, start, wait and delete of /bin/true, in one run.

    python -m benchmarks.library [--blocks N] [--output FILE] [--launcher PATH]

Takes turns (A B C A B C ...) between the library with its resident zygote, `ociruntime run`, and
`run` of the newest runc and crun there are, with a minimal configuration and one as engines
write it. One turn is a block of containers, whose mean is one sample; reported are medians of the
samples, of wall time and of user + system CPU time. The library's CPU time is that of this program,
of the zygote and of everything it has waited for, without the zygote's start. Run as root.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from benchmarks.bundles import config, make_rootfs  # noqa: E402
from benchmarks.measure import Meter, Sample  # noqa: E402
from benchmarks.peers import PEERS, newest, versions  # noqa: E402
from conformance.host import enter_own_mount_namespace  # noqa: E402
from ociruntime.api import Bundle, NotFound, Runtime  # noqa: E402

DEFAULT_BLOCKS, BLOCK = 9, 10
LIBRARY = "library"


def main() -> None:
    """Measure and write tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--blocks", type=int, default=DEFAULT_BLOCKS)
    parser.add_argument("--launcher", default=str(CHECKOUT / ".venv/bin/ociruntime"))
    parser.add_argument("--output")
    options = parser.parse_args()
    enter_own_mount_namespace()
    commands = {"ociruntime run": options.launcher}
    commands |= {f"{name} run": path for name in PEERS if (path := newest(name))}
    text = (
        "# Performance of the library\n\nMade by `make bench`; not by hand.\n\n"
        "Create, start, wait and delete of /bin/true by `ociruntime.api`, against `run`.\n"
        f"Linux {platform.release()}, {os.cpu_count()} CPUs, {options.blocks} blocks of {BLOCK}, "
        f"load average {os.getloadavg()[0]:.1f}; medians.\n\n"
        + versions(list(commands.values()))
    )
    for kind in ("minimal", "full"):
        directory = Path(tempfile.mkdtemp(prefix="ociruntime-bench-"))
        try:
            samples = measure(directory, kind, commands, options.launcher, options.blocks)
        finally:
            shutil.rmtree(directory)
        text += "\n" + table(kind, samples)
    if options.output:
        Path(options.output).write_text(text)
    print(text)


def measure(
    directory: Path, kind: str, commands: dict[str, str], launcher: str, blocks: int
) -> dict[str, list[Sample]]:
    """The samples of the library and of each command."""
    make_rootfs(directory / "bundle/rootfs")
    bundle = Bundle.__new__(Bundle)
    bundle.path = directory / "bundle"
    bundle.config = config(full=kind == "full", args=["/bin/true"])
    bundle.save()
    meter = Meter(directory)
    samples: dict[str, list[Sample]] = {name: [] for name in (LIBRARY, *commands)}
    for number in range(blocks + 1):
        found = {LIBRARY: library_block(directory / "library", bundle.path, launcher)}
        for name, path in commands.items():
            root = str(directory / name.replace(" ", "-"))
            call = [path, "--root", root, "run", "--bundle", str(bundle.path)]
            total = Sample(0, 0)
            for turn in range(BLOCK):
                total.add(meter.measure([*call, f"bench-{turn}"]))
            found[name] = Sample(total.wall / BLOCK, total.cpu / BLOCK)
        # The first one warms caches up.
        for name, sample in found.items() if number else ():
            samples[name].append(sample)
    return samples


def library_block(root: Path, bundle: Path, launcher: str) -> Sample:
    """The mean of some containers with a zygote that is there already."""
    before = children_cpu()
    with Runtime(root, launcher=launcher) as runtime:
        try:
            runtime.container("nobody")
        except NotFound:
            started = nanoseconds(runtime.zygote_pid) / 1e9
        wall, own = time.perf_counter(), time.process_time()
        for number in range(BLOCK):
            container = runtime.create(bundle, f"library-{number}")
            container.start()
            if not container.wait(30).ok:
                sys.exit("the container failed")
            container.delete()
        wall, own = time.perf_counter() - wall, time.process_time() - own
    # It was waited for, and has waited for all that it has forked.
    cpu = own + children_cpu() - before - started
    return Sample(wall / BLOCK, cpu / BLOCK)


def children_cpu() -> float:
    """Seconds of CPU of everything that was waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def nanoseconds(pid: int) -> int:
    """What a process has used so far, without its children (proc_pid_schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def table(kind: str, samples: dict[str, list[Sample]]) -> str:
    """Medians, and the library's ratio to each."""

    def median(name: str) -> tuple[float, float]:
        measured = samples[name]
        wall = statistics.median(sample.wall for sample in measured)
        return wall * 1000, statistics.median(sample.cpu for sample in measured) * 1000

    ours = median(LIBRARY)
    lines = [
        f"| {kind} configuration | wall ms | CPU ms | library : it, wall | library : it, CPU |",
        "| --- | --- | --- | --- | --- |",
        f"| library | {ours[0]:.1f} | {ours[1]:.1f} | | |",
    ]
    for name in samples:
        if name != LIBRARY:
            wall, cpu = median(name)
            ratios = f"{ours[0] / wall:.2f} | {ours[1] / cpu:.2f}"
            lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {ratios} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

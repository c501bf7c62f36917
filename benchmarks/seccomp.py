"""What a system call filter costs a container for which it is compiled already.

    python -m benchmarks.seccomp [--rounds N] [--config FILE] [RUNTIME...]

Each runtime runs the same bundle with and without linux.seccomp, taking turns; so does a program
of C that does nothing but load the filter and execute the same /bin/true (``kernel alone``).
Reported are the user + system CPU time of the whole command, and what the filter adds to it: by
the medians, and by the minima, which a busy machine disturbs least. FILE is a config.json as an
engine wrote it; its hooks, cgroupsPath and the sources of its bind mounts are replaced. Without
it, the benchmarks' own bundle is measured. Run as root.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from benchmarks.bundles import config, make_rootfs  # noqa: E402
from benchmarks.measure import Meter  # noqa: E402
from benchmarks.peers import default_runtimes, versions  # noqa: E402
from conformance.host import enter_own_mount_namespace  # noqa: E402
from ociruntime.seccomp.compiler import compile_program  # noqa: E402

DEFAULT_ROUNDS = 200
KERNEL = "kernel alone"
PLAIN, FILTERED = "plain", "filtered"


def engine_config(path: Path) -> dict[str, Any]:
    """An engine's config.json, changed so that this machine can run it."""
    document: dict[str, Any] = json.loads(path.read_text())
    document.pop("hooks", None)
    document["linux"].pop("cgroupsPath", None)
    document["root"] = {**document.get("root", {}), "path": "rootfs"}
    document["process"].update(args=["/bin/true"], terminal=False, cwd="/")
    for mount in document["mounts"]:
        if {"bind", "rbind"} & set(mount.get("options", ())):
            mount["source"] = "/etc/hostname"
    return document


class Bench:
    """CPU milliseconds: ``cpu[runtime][PLAIN or FILTERED]``."""

    def __init__(self, runtimes: list[str], work: Path, document: dict[str, Any]) -> None:
        self.work = work
        self.meter = Meter(work)
        self.profile = document["linux"]["seccomp"]
        self.runs = 0
        self.order = [PLAIN, FILTERED]
        self.cpu: dict[str, dict[str, list[float]]] = {
            runtime: {PLAIN: [], FILTERED: []} for runtime in [*runtimes, KERNEL]
        }
        without = {**document, "linux": {**document["linux"]}}
        del without["linux"]["seccomp"]
        self.instructions = compile_program(self.profile).code
        for kind, content, code in (
            (FILTERED, document, self.instructions),
            (PLAIN, without, b""),
        ):
            make_rootfs(work / kind / "rootfs")
            (work / kind / "config.json").write_text(json.dumps(content))
            (work / kind / "program").write_bytes(code)
        source = CHECKOUT / "benchmarks/filtered.c"
        self.loader = work / "loader"
        subprocess.run(["cc", "-O2", "-static", "-o", self.loader, source], check=True)

    def command(self, runtime: str, kind: str) -> list[str]:
        """What is measured."""
        bundle = self.work / kind
        if runtime == KERNEL:
            return [str(self.loader), str(bundle / "program"), str(bundle / "rootfs/bin/true")]
        self.runs += 1
        root = self.work / f"root-{list(self.cpu).index(runtime)}"
        name = f"filter{self.runs}"
        return [runtime, "--root", str(root), "run", "--bundle", str(bundle), name]

    def round(self) -> None:
        """One run of each; who is first changes from round to round."""
        self.order.reverse()
        for runtime, cpu in self.cpu.items():
            for kind in self.order:
                cpu[kind].append(self.meter.measure(self.command(runtime, kind)).cpu * 1e3)

    def table(self) -> str:
        """The result as Markdown."""
        lines = [
            "| | without, CPU ms | with, CPU ms | the filter adds, median | minimum |",
            "| --- | --- | --- | --- | --- |",
        ]
        for runtime, cpu in self.cpu.items():
            plain, filtered = statistics.median(cpu[PLAIN]), statistics.median(cpu[FILTERED])
            lowest = min(cpu[FILTERED]) - min(cpu[PLAIN])
            lines.append(
                f"| {Path(runtime).name} | {plain:.2f} | {filtered:.2f} "
                f"| {filtered - plain:+.2f} ms | {lowest:+.2f} ms |"
            )
        return "\n".join(lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--config", type=Path, help="a config.json that an engine wrote")
    parser.add_argument("runtimes", nargs="*")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("benchmarks need root")
    enter_own_mount_namespace()  # crun asks for every controller that the kernel has
    full = config(full=True, args=["/bin/true"])
    document = engine_config(options.config) if options.config else full
    runtimes = options.runtimes or default_runtimes()
    with tempfile.TemporaryDirectory(prefix="ocirt-bench-") as directory:
        bench = Bench(runtimes, Path(directory), document)
        bench.round()  # the filter is compiled, caches are warm
        for cpu in bench.cpu.values():
            cpu[PLAIN].clear()
            cpu[FILTERED].clear()
        for _ in range(options.rounds):
            bench.round()
    print(versions(runtimes))
    names = sum(len(rule["names"]) for rule in bench.profile["syscalls"])
    print(
        f"{options.rounds} rounds, {names} names, {len(bench.instructions) // 8} instructions, "
        f"load average at the end {os.getloadavg()[0]:.1f}\n\n{bench.table()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

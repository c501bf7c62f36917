"""Start-up times of several runtimes, side by side in one run, as ratios.

    benchmarks/compare.py [--rounds N] [--output FILE] [RUNTIME...]

The runtimes take turns (A B C A B C ...), so that a machine whose speed drifts drifts for all of
them. Reported are medians of wall time and of user + system CPU time (of the command and all it
waited for), and the ratio of our median to the others'. Run as root. Without arguments: ours (of
.venv), and runc and crun where they are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
COMMANDS = ("create", "start", "state", "exec", "kill", "delete")
DEFAULT_ROUNDS = 30


def make_rootfs(directory: Path) -> None:
    """A busybox root filesystem."""
    binaries = directory / "bin"
    binaries.mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("busybox is missing; apt-get install busybox-static")
    shutil.copy(busybox, binaries / "busybox")
    for name in ("sh", "true", "sleep"):
        (binaries / name).symlink_to("busybox")
    for name in ("proc", "sys", "dev", "etc", "tmp"):
        (directory / name).mkdir()


def config(*, full: bool, args: list[str]) -> dict[str, Any]:
    """The smallest useful configuration, or one as engines write it (without seccomp)."""
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"]
    names = ("pid", "network", "ipc", "uts", "mount", "cgroup") if full else ("pid", "mount")
    document: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": name} for name in names]},
    }
    if not full:
        return document
    sets = ("bounding", "effective", "permitted")
    document["process"]["capabilities"] = dict.fromkeys(sets, capabilities)
    document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}]
    document["process"]["noNewPrivileges"] = True
    document["root"]["readonly"] = True
    document["hostname"] = "benchmark"
    secure = ["nosuid", "noexec", "nodev"]
    tmpfs = {"type": "tmpfs", "source": "tmpfs"}
    document["mounts"] += [
        {"destination": "/dev", "options": ["nosuid", "mode=755", "size=65536k"], **tmpfs},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/dev/shm", "options": [*secure, "mode=1777", "size=65536k"], **tmpfs},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": secure},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*secure, "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": [*secure, "relatime", "ro"],
        },
    ]
    for number in range(4):
        document["mounts"].append(
            {
                "destination": f"/etc/file{number}",
                "type": "bind",
                "source": "/etc/hostname",
                "options": ["rbind", "rprivate", "ro"],
            }
        )
    document["linux"]["resources"] = {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 256 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        "pids": {"limit": 100},
    }
    document["linux"]["maskedPaths"] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
    ]
    document["linux"]["readonlyPaths"] = [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ]
    return document


class Sample:
    """Wall and CPU seconds of one command."""

    def __init__(self, wall: float, cpu: float) -> None:
        self.wall = wall
        self.cpu = cpu


def measure(command: list[str]) -> Sample:
    """Run ``command``, which must succeed."""
    # A file and no pipe: a created container keeps the standard streams, and a pipe would not end.
    with tempfile.TemporaryFile() as errors:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, check=False
        )
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace")
            sys.exit(f"{' '.join(command)}: status {done.returncode}: {said}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(wall, cpu)


def pss_kib(pid: int) -> int:
    """The proportional set size of a process in KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


class Bench:
    """The measurements of all runtimes: ``samples[row][runtime]``."""

    def __init__(self, runtimes: list[str], work: Path) -> None:
        self.runtimes = runtimes
        self.work = work
        self.samples: dict[str, dict[str, list[Sample]]] = {}
        self.pss: dict[str, list[int]] = {}
        self.counter = 0
        for name, full, args in (
            ("minimal", False, ["/bin/true"]),
            ("full", True, ["/bin/true"]),
            ("sleeper", True, ["/bin/sleep", "1000"]),
        ):
            bundle = work / name
            make_rootfs(bundle / "rootfs")
            (bundle / "config.json").write_text(json.dumps(config(full=full, args=args)))

    def add(self, row: str, runtime: str, sample: Sample) -> None:
        """Note one sample."""
        self.samples.setdefault(row, {}).setdefault(runtime, []).append(sample)

    def round(self, runtime: str) -> None:
        """One turn of one runtime: two runs, and the six commands of a container's life."""
        root = str(self.work / f"root-{Path(runtime).name}")
        base = [runtime, "--root", root]
        for name in ("minimal", "full"):
            self.counter += 1
            command = [*base, "run", "--bundle", str(self.work / name), f"bench{self.counter}"]
            self.add(f"run ({name})", runtime, measure(command))
        self.counter += 1
        container = f"bench{self.counter}"
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
            sample = measure([*base, verb, *arguments[verb]])
            self.add(verb, runtime, sample)
            total.wall += sample.wall
            total.cpu += sample.cpu
            if verb == "create":
                self.note_waiting(base, runtime, container)
            if verb == "kill":
                self.wait_stopped(base, container)
        self.add("sum of the six", runtime, total)

    def note_waiting(self, base: list[str], runtime: str, container: str) -> None:
        """The memory of the created container's waiting process."""
        self.pss.setdefault(runtime, []).append(pss_kib(self.state(base, container)["pid"]))

    def state(self, base: list[str], container: str) -> dict[str, Any]:
        """What the runtime's ``state`` says."""
        output = subprocess.run([*base, "state", container], capture_output=True, check=True)
        document: dict[str, Any] = json.loads(output.stdout)
        return document

    def wait_stopped(self, base: list[str], container: str) -> None:
        """Until the killed process is gone: not part of any measurement."""
        while self.state(base, container)["status"] != "stopped":
            time.sleep(0.002)

    def table(self) -> str:
        """The medians and ratios as Markdown."""
        ours = self.runtimes[0]
        names = [Path(runtime).name for runtime in self.runtimes]
        head = ["", *[f"{name} wall / CPU ms" for name in names]]
        head += [f"wall, ours : {name}" for name in names[1:]]
        head += [f"CPU, ours : {name}" for name in names[1:]]
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        for row, by_runtime in self.samples.items():
            wall = {r: statistics.median(s.wall for s in by_runtime[r]) for r in self.runtimes}
            cpu = {r: statistics.median(s.cpu for s in by_runtime[r]) for r in self.runtimes}
            cells = [row]
            cells += [f"{wall[r] * 1000:.1f} / {cpu[r] * 1000:.1f}" for r in self.runtimes]
            cells += [f"{wall[ours] / wall[r]:.2f}" for r in self.runtimes[1:]]
            cells += [f"{cpu[ours] / cpu[r]:.2f}" for r in self.runtimes[1:]]
            lines.append("| " + " | ".join(cells) + " |")
        cells = ["waiting init, PSS KiB"]
        cells += [f"{statistics.median(self.pss[r]):.0f}" for r in self.runtimes]
        cells += [""] * (2 * (len(self.runtimes) - 1))
        lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)


def version(runtime: str) -> str:
    """The first line of --version."""
    output = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True)
    return output.stdout.splitlines()[0]


def default_runtimes() -> list[str]:
    """Ours first, then what is installed, or what the variable RUNTIMES names."""
    found = [str(CHECKOUT / ".venv/bin/ociruntime")]
    named = os.environ.get("RUNTIMES")
    for name in named.split() if named else ("runc", "crun"):
        path = shutil.which(name)
        if path:
            found.append(path)
    return found


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--output", type=Path, help="write the table into this file as well")
    parser.add_argument("runtimes", nargs="*")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("benchmarks need root")
    runtimes = options.runtimes or default_runtimes()
    with tempfile.TemporaryDirectory(prefix="ocirt-bench-") as directory:
        bench = Bench(runtimes, Path(directory))
        for runtime in runtimes:
            bench.round(runtime)
        bench.samples.clear()
        for _ in range(options.rounds):
            for runtime in runtimes:
                bench.round(runtime)
        lines = [
            (
                f"Linux {platform.release()}, {os.cpu_count()} CPUs, {options.rounds} rounds; "
                "medians of whole commands."
            ),
            "",
            *(f"- {version(runtime)}" for runtime in runtimes),
            "",
            bench.table(),
            "",
        ]
    text = "\n".join(lines)
    print(text)
    if options.output:
        options.output.write_text("# Performance\n\nMade by `make bench`; not by hand.\n\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

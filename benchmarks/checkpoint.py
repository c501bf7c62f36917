"""checkpoint and restore of a process of 200 MB, beside runc and crun, all with the same CRIU.

    PYTHONPATH=. benchmarks/checkpoint.py [--rounds N] [--images DIRECTORY]

They take turns (A B C, C B A, ...). Printed are the shortest wall time of each command with CRIU's
own part of it (the last time in its log), and the median of the rounds' ratios to each peer. Run as
root, with `make newer-criu`; CRIU is criu in PATH where that was not made.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bundles import config, make_rootfs
from benchmarks.peers import CHECKOUT, OURS, PEERS, newest
from conformance.host import enter_own_mount_namespace

BYTES = 200 << 20
VERBS = ("checkpoint", "restore")
LOGS = {"checkpoint": "dump.log", "restore": "restore.log"}
STAMP = re.compile(r"^\((\d+\.\d+)\)", re.MULTILINE)
PATIENCE = 120.0


class Subject:
    """A runtime, and what each of its rounds took: seconds by verb and by ``criu VERB``."""

    def __init__(self, binary: str, work: Path) -> None:
        self.name = Path(binary).name
        self.root = work / f"state-{self.name}"
        self.binary = binary
        self.rounds: list[dict[str, float]] = []

    def call(self, *words: str) -> float:
        """Carry out a command; returns its wall time, or raises SystemExit with its error."""
        log = self.root.parent / "log"
        log.unlink(missing_ok=True)
        command = (self.binary, "--root", str(self.root), "--log", str(log), *words)
        with open(os.devnull, "r+b") as null:
            begin = time.monotonic()
            done = subprocess.run(command, stdin=null, stdout=null, stderr=null, check=False)
            took = time.monotonic() - begin
        if done.returncode:
            raise SystemExit(f"{self.name} {words[0]}: {log.read_text()}")
        return took

    def round(self, bundle: Path, images: Path, number: int) -> None:
        """One container, away and back."""
        name = f"bench-{os.getpid()}-{number}"
        filled = bundle / "rootfs" / "filled"
        filled.unlink(missing_ok=True)
        shutil.rmtree(images, ignore_errors=True)
        self.call("run", "--detach", "--bundle", str(bundle), name)
        try:
            deadline = time.monotonic() + PATIENCE
            while not filled.exists():
                if time.monotonic() > deadline:
                    raise SystemExit(f"{self.name}: the memory is not filled")
                time.sleep(0.05)
            took = {"checkpoint": self.call("checkpoint", "--image-path", str(images), name)}
            words = ("--detach", "--bundle", str(bundle), "--image-path", str(images))
            took["restore"] = self.call("restore", *words, name)
        finally:
            self.call("delete", "--force", name)
        for verb, log in LOGS.items():
            stamps = STAMP.findall((images / log).read_text(errors="replace"))
            took[f"criu {verb}"] = float(stamps[-1])
        self.rounds.append(took)

    def shortest(self, verb: str) -> str:
        """A cell of the table: the whole, and CRIU's part of it."""
        whole, criu = (min(took[what] for took in self.rounds) for what in (verb, f"criu {verb}"))
        return f"{whole * 1000:.0f} ms, of them CRIU {criu * 1000:.0f}"

    def ratio(self, other: Subject, *verbs: str) -> str:
        """The median of what the rounds took, to ``other``'s."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        found = [sum(a[verb] for verb in verbs) / sum(b[verb] for verb in verbs) for a, b in pairs]
        return f"{statistics.median(found):.2f}"


def make_bundle(work: Path) -> Path:
    """A bundle whose process has that much memory of its own."""
    bundle = work / "bundle"
    bundle.mkdir()
    make_rootfs(bundle / "rootfs")
    program = bundle / "rootfs" / "bin" / "fill"
    source = CHECKOUT / "benchmarks" / "filled.c"
    subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
    document: dict[str, Any] = config(full=False, args=["/bin/fill", str(BYTES)])
    # Below one cgroup, whose share of a busy machine the caller may set.
    document["linux"]["cgroupsPath"] = f"/ocirt-bench/{os.getpid()}"
    (bundle / "config.json").write_text(json.dumps(document))
    return bundle


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=Path, help="where images are written (a new directory)")
    options = parser.parse_args()
    peers = [path for name in PEERS if (path := newest(name)) is not None]
    enter_own_mount_namespace()  # crun wants every hierarchy mounted
    os.environ["PATH"] = f"{CHECKOUT / 'build/newer/sid/bin'}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        bundle = make_bundle(work)
        subjects = [Subject(str(OURS), work), *(Subject(peer, work) for peer in peers)]
        for number in range(options.rounds):
            for subject in list(subjects if number % 2 == 0 else subjects[::-1]):
                try:
                    subject.round(bundle, options.images or work / "images", number)
                except SystemExit as error:
                    if number or subject is subjects[0]:
                        raise
                    print(f"left out: {error}", file=sys.stderr)
                    subjects.remove(subject)
    print(f"| | {' | '.join(subject.name for subject in subjects)} |")
    print(f"| --- |{' --- |' * len(subjects)}")
    for verb in VERBS:
        print(f"| {verb} | {' | '.join(subject.shortest(verb) for subject in subjects)} |")
    ours = subjects[0]
    for verbs in (("checkpoint",), ("restore",), VERBS):
        cells = [ours.ratio(other, *verbs) for other in subjects[1:]]
        print(f"| {' and '.join(verbs)}, of theirs | | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

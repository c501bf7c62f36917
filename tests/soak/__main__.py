"""A storm of all operations on a few ids, with hostile programs inside and a neighbour outside who
stops, freezes and kills what he finds: python -m tests.soak.

It counts what is left at the end and who waited longer than LONGEST: nothing, nobody. Every answer
must be one for a person. Not part of the tests: it runs for hours (`make soak HOURS=1`).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from conformance.host import enter_own_mount_namespace
from tests.fault.test_pairs import COMMANDS
from tests.support.bundle import Bundle
from tests.support.sandbox import MARKER, Sandbox

LONGEST = 10.0
# After so long it is killed, and counted as one that would have waited for ever.
NEVER = 60.0
# Commands of several processes are slower on a slow machine, by as many times.
STEPS = 5
IDS = 4
CALLERS = 6
# What runs inside: each makes something that the runtime has to cope with.
HOSTILE = (
    "sleep 1000",
    # forks as fast as it may
    "while :; do sleep 0.01 & done",
    # stops itself and its children, again and again
    "while :; do kill -STOP $$; done",
    # ends while others of its group go on
    "(sleep 1000 &) ; exit 0",
    # ignores what it may
    "trap '' TERM INT HUP QUIT; while :; do sleep 0.1; done",
    # makes cgroups below its own, where it can
    "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir -p $d/a/b/c 2>/dev/null; done; sleep 1000",
    # fills its output
    "while :; do echo flood; done",
)


# Seconds: how long the neighbour holds something up, and how long he rests.
HELD, REST = 2.0, 0.3
FREEZERS = (("freezer.state", "FROZEN", "THAWED"), ("cgroup.freeze", "1", "0"))


class Neighbour(threading.Thread):
    """Torments the processes and the cgroups of a sandbox, each for a moment."""

    def __init__(self, sandbox: Sandbox, deadline: float, seed: int) -> None:
        super().__init__()
        self.sandbox = sandbox
        self.deadline = deadline
        self.chance = random.Random(seed)
        self.torments: collections.Counter[str] = collections.Counter()
        # The commands themselves: what they make is tormented, not they. Held from before there is
        # one until it is among these, and from the choice of a process until it is had.
        self.spared: set[int] = set()
        self.choice = threading.Lock()

    def victim(self) -> int:
        """A pidfd of one of the processes."""
        with self.choice:
            processes = [p for p in self.sandbox.processes() if p not in self.spared]
            return os.pidfd_open(self.chance.choice(processes))

    def run(self) -> None:
        while time.monotonic() < self.deadline:
            torment = self.chance.choice((self.stop, self.freeze, self.kill))
            # What is tormented may end or go meanwhile.
            with contextlib.suppress(OSError, IndexError):
                torment()
                self.torments[torment.__name__] += 1
            time.sleep(self.chance.random() * REST)

    def stop(self) -> None:
        pidfd = self.victim()
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
            time.sleep(self.chance.random() * HELD)
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        finally:
            os.close(pidfd)

    def freeze(self) -> None:
        path = self.chance.choice(self.sandbox.cgroups())
        for name, value, undo in FREEZERS:
            if (path / name).exists():
                (path / name).write_text(value)
                time.sleep(self.chance.random() * HELD)
                (path / name).write_text(undo)

    def kill(self) -> None:
        pidfd = self.victim()
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


class Pulse(threading.Thread):
    """How slow the machine is: what a command takes that waits for nobody."""

    def __init__(self, command: list[str], deadline: float) -> None:
        super().__init__()
        self.command = command
        self.deadline = deadline
        self.beats: collections.deque[tuple[float, float]] = collections.deque(maxlen=100)

    def run(self) -> None:
        while time.monotonic() < self.deadline:
            begin = time.monotonic()
            subprocess.run(self.command, stdout=subprocess.DEVNULL, check=False)
            self.beats.append((begin, time.monotonic()))
            time.sleep(REST)

    def slowest(self, begin: float) -> float:
        """Of those that have ended since ``begin``, in seconds."""
        return max((end - start for start, end in list(self.beats) if end > begin), default=0.0)


class Storm:
    """The callers, and what they have seen."""

    def __init__(self, binary: str, seconds: float, seed: int) -> None:
        self.binary = binary
        self.deadline = time.monotonic() + seconds
        self.seed = seed
        self.sandbox = Sandbox()
        self.neighbour = Neighbour(self.sandbox, self.deadline, seed)
        self.pulse = Pulse([binary, "--version"], self.deadline)
        self.bundles = [self._bundle(number) for number in range(IDS)]
        self.calls: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []
        self.slowest = 0.0

    def _bundle(self, number: int) -> Bundle:
        name = self.sandbox.new_id()
        made = Bundle(self.sandbox.bundles / name, name, f"{MARKER}={self.sandbox.prefix}", {})
        made.shell(HOSTILE[number % len(HOSTILE)])
        made.config["linux"]["resources"]["pids"] = {"limit": 40}
        return made.write()

    def run(self) -> None:
        """All callers until the time is up."""
        callers = [threading.Thread(target=self._caller, args=(n,)) for n in range(CALLERS)]
        for caller in (*callers, self.neighbour, self.pulse):
            caller.start()
        for caller in (*callers, self.neighbour, self.pulse):
            caller.join()

    def _caller(self, number: int) -> None:
        chance = random.Random(self.seed * 1000 + number)
        log = self.sandbox.logs / f"caller-{number}"
        while time.monotonic() < self.deadline:
            bundle = chance.choice(self.bundles)
            if chance.random() < 0.05:
                bundle.shell(chance.choice(HOSTILE)).write()
            name = chance.choice(list(COMMANDS))
            words = {"ID": bundle.name, "BUNDLE": str(bundle.path)}
            self._call(name, [words.get(word, word) for word in COMMANDS[name]], log)

    def _call(self, name: str, words: list[str], log: Path) -> None:
        command = [self.binary, "--root", str(self.sandbox.root), *words]
        begin = time.monotonic()
        status = None
        # Its standard output may be the container's, which floods it.
        with log.open("wb") as errors:
            with self.neighbour.choice:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=self.sandbox.environment(),
                )
                self.neighbour.spared.add(process.pid)
            try:
                status = process.wait(NEVER)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self.neighbour.spared.discard(process.pid)
        took = time.monotonic() - begin
        said = log.read_bytes()[-2000:].decode(errors="replace")
        self.calls[name] += 1
        self.slowest = max(self.slowest, took)
        if took > LONGEST + STEPS * self.pulse.slowest(begin):
            self.faults.append(f"waited {took:.1f} s: {' '.join(words)}: {said}")
        elif status is None or status < 0 or "internal error" in said:
            self.faults.append(f"status {status}: {' '.join(words)}: {said}")

    def clean(self) -> list[str]:
        """Delete every container; what is left then."""
        for bundle in self.bundles:
            self._call(
                "delete-force", ["delete", "--force", bundle.name], self.sandbox.logs / "end"
            )
        left = self.sandbox.settled_leaks(10)
        self.sandbox.clean()
        return left


def main() -> int:
    """0 when nothing was left and nobody waited."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--runtime", default=".venv/bin/ociruntime")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    enter_own_mount_namespace()
    storm = Storm(str(Path(asked.runtime).absolute()), asked.hours * 3600, asked.seed)
    storm.run()
    left = storm.clean()
    counts = ", ".join(f"{name} {number}" for name, number in sorted(storm.calls.items()))
    torments = ", ".join(f"{name} {number}" for name, number in storm.neighbour.torments.items())
    print(f"seed {asked.seed}; calls: {counts}; the slowest took {storm.slowest:.2f} s")
    print(f"--version took up to {storm.pulse.slowest(0):.2f} s in the last minute")
    print(f"the neighbour: {torments}")
    for line in [*storm.faults, *(f"left: {line}" for line in left)]:
        print(line)
    print(f"{len(storm.faults)} faults, {len(left)} things left")
    return 1 if storm.faults or left else 0


if __name__ == "__main__":
    sys.exit(main())

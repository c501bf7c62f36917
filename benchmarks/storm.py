"""What nine hostile pods do to a quiet one beside them: a part of benchmarks/node.py.

Each keeps within the limits that all pods have (half a CPU, 100 processes, 256 MiB):

- a fork storm up to the limit of processes;
- two that write as fast as they can: one that is read, and one that is not;
- one that goes on writing when its log's disk is full;
- one that is killed for its memory again and again;
- one that stops whatever enters it, in which processes are executed all the same;
- one whose cgroup is frozen, and whose state and metrics are asked for without end;
- two in which processes are executed all the time, by six clients each, five times a second.

What is asked for hostile pods is asked by processes of their own (this program's, see ``main``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.shim import CHECKOUT, Client, Shims
from ociruntime.shim import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

# A shell that cannot fork ends: a little below the limit.
FORKS = "while :; do i=0; while [ $i -lt 80 ]; do true & i=$((i+1)); done; wait; done"
WRITES = "while :; do echo 0123456789012345678901234567890123456789; done"
# A child that doubles a variable until it is killed.
HUNGRY = "while :; do (x=0123456789abcdef; while :; do x=$x$x; done); done"
STOPS = """while :; do for p in /proc/[0-9]*; do
p=${p#/proc/}; [ "$p" = 1 ] || kill -STOP "$p" 2>/dev/null; done; done"""
QUIET = "sleep 1000"
FULL = "file:///dev/full"
EXECUTE, ASK = "execute", "ask"
CALLERS = 6
# A caller asks so often at most: all kinds of shims shall have as much to do.
EACH_SECONDS = 0.2
# Seconds from the last hostile pod to the first measurement.
SETTLE = 2.0
SHARE = 0.99


def percentile(work: Callable[[int], None], count: int) -> float:
    """Milliseconds that all but one of a hundred take at most."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)[int((count - 1) * SHARE)]


def execute(client: Client, container: str, exec_id: str) -> None:
    """One exec of /bin/true, to its end."""
    Shims.execute(client, container, exec_id)
    Shims.finish(client, container, exec_id)


class Storm:
    """Pods of one kind of shim, and what torments them."""

    def __init__(self, shims: Shims, rootfs: Path, place: Path) -> None:
        self._shims = shims
        self._rootfs = rootfs
        self._place = place
        self._pods: list[tuple[Client, str]] = []
        self._frozen: list[tuple[Client, str]] = []
        self._ends: list[int] = []
        self._helpers: list[subprocess.Popen[bytes]] = []

    def pod(self, script: str, output: str = "", error: str = "") -> tuple[Client, str]:
        """One that runs a shell's ``script``; ``output`` and ``error``: paths or URIs, "" for none
        (containerd's shim wants both or none).
        """
        container, bundle = self._shims.bundle(self._rootfs, ["/bin/sh", "-c", script], "")
        client = self._shims.start(container, bundle)
        self._shims.create(client, container, bundle, stdout=output, stderr=error)
        self._pods.append((client, container))
        return client, container

    def fifo(self) -> str:
        """A new one, that is open and that nobody reads."""
        path = self._place / f"storm-{self._shims.name}-{len(self._ends)}"
        os.mkfifo(path)
        self._ends.append(os.open(path, os.O_RDWR))
        return str(path)

    def torment(self, pod: tuple[Client, str], work: str, callers: int) -> None:
        """Let so many processes of their own do ``work`` again and again."""
        client, container = pod
        for number in range(callers):
            words = [sys.executable, "-m", "benchmarks.storm", client.address, container, work]
            self._helpers.append(
                subprocess.Popen([*words, str(number)], cwd=CHECKOUT, stderr=subprocess.DEVNULL)
            )

    def rage(self) -> None:
        """Have all nine."""
        self.pod(FORKS)
        read = self.fifo()
        with open(read, "rb") as source:
            words = ["cat"]
            self._helpers.append(
                subprocess.Popen(words, stdin=source, stdout=subprocess.DEVNULL)
            )
        self.pod(WRITES, read, self.fifo())
        self.pod(WRITES, self.fifo(), self.fifo())
        self.pod(WRITES, FULL, FULL)
        self.pod(HUNGRY)
        self.torment(self.pod(STOPS), EXECUTE, 1)
        frozen = self.pod(WRITES, self.fifo(), self.fifo())
        frozen[0]("Pause", m.PROCESS_KEY, m.EMPTY, id=frozen[1])
        self._frozen.append(frozen)
        self.torment(frozen, ASK, 1)
        for _ in range(2):
            self.torment(self.pod(QUIET), EXECUTE, CALLERS)
        time.sleep(SETTLE)

    def close(self) -> None:
        """End everything."""
        for helper in self._helpers:
            helper.kill()
        for helper in self._helpers:
            helper.wait()
        for client, container in self._frozen:
            client("Resume", m.PROCESS_KEY, m.EMPTY, id=container)
        for client, container in self._pods:
            client("Kill", m.KILL, m.EMPTY, id=container, signal=9)
        for fd in self._ends:
            os.set_blocking(fd, False)
            _drain(fd)
        for client, container in self._pods:
            self._shims.finish(client, container)
            self._shims.end(client, container)
        for fd in self._ends:
            os.close(fd)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 1 << 16):
            pass
    except BlockingIOError:
        return


def measure(shims: Shims, rootfs: Path, place: Path, count: int) -> dict[str, float]:
    """What all but one of a hundred State and exec requests to a quiet pod take at most (ms),
    before the storm and in it, and how often the latter contains the former.
    """
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        storm = Storm(shims, rootfs, place)
        stack.callback(storm.close)
        client, container = storm.pod(QUIET)

        def state(_number: int) -> None:
            client("State", m.PROCESS_KEY, m.STATE, id=container)

        for when in ("quiet", "storm"):
            if when == "storm":
                storm.rage()
            figures[f"state, {when}, ms"] = percentile(state, 5 * count)
            figures[f"exec, {when}, ms"] = percentile(
                lambda number: execute(client, container, f"{when}-{number}"),  # noqa: B023 - now
                count,
            )
    for work in ("state", "exec"):
        ratio = figures[f"{work}, storm, ms"] / figures[f"{work}, quiet, ms"]
        figures[f"{work}, storm : quiet"] = ratio
    return figures


def main() -> int:
    """A caller: ``ADDRESS CONTAINER execute|ask NAME``; it is killed, or ends with its shim."""
    address, container, work, name = sys.argv[1:]
    client = Client(address)
    number = 0
    while True:
        number += 1
        due = time.monotonic() + EACH_SECONDS
        try:
            if work == EXECUTE:
                execute(client, container, f"{name}-{number}")
            else:
                client("State", m.PROCESS_KEY, m.STATE, id=container)
                client("Stats", m.PROCESS_KEY, m.STATS_RESPONSE, id=container)
        except SystemExit:
            pass  # it is refused, as it may be
        except OSError:
            return 0
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())

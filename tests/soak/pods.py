"""A node full of pods under one daemon of our shim, for hours, and what was lost.

    python -m tests.soak.pods [--pods N] [--hours H] [--seed N]     (make soak-pods HOURS=1)

A containerd of its own, spoken to as a kubelet does. So many pods of one container each live for
one to five minutes, then others take their places. Each container counts aloud, a line each second,
and ends by itself with a status of its own, or is stopped and says so; a fifth of them is probed
each second (ExecSync). Meanwhile the daemon is killed (SIGKILL) about once a minute.

Counted are all lines of all logs, all exit statuses, all probes. A probe that was being started at
the moment of a kill may fail with Unavailable (docs/shim.md); everything else that is missing, or
comes twice, or is another one's, is a fault. Prints what was lost; run as root.
"""

from __future__ import annotations

import argparse
import collections
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc

from conformance.host import enter_own_mount_namespace
from tests.support.engines import shared
from tests.support.engines.cri import EXITED, Cri, Pod
from tests.support.engines.host import EngineError

HANDLER = "node"
# Seconds: lives of pods, between two looks at one, between two probes, between two kills.
LIVES = 60, 300
LOOK, PROBE, KILL, REPORT = 3.0, 1.0, 60.0, 60.0
# One of so many pods is probed, or stopped before its end.
PROBED, STOPPED = 5, 5
# What a pod takes to end once it is told, and the daemon to have a successor (seconds).
PATIENCE = 180
STOPPED_STATUS = 130
# How many pods are made at the same time.
MAKERS = 4
# Counts to $1, a line each second; ends with status $2, or as it is told to.
COUNT = f"""trap 'echo stopped; exit {STOPPED_STATUS}' TERM
i=0; while [ $i -lt $1 ]; do echo line $i; i=$((i+1)); sleep 1; done; echo last; exit $2"""


class Killer(threading.Thread):
    """Kills the daemon now and then, and knows when."""

    def __init__(self, cri: Cri, deadline: float, seed: int, faults: list[str]) -> None:
        super().__init__(daemon=True)
        self._cri = cri
        self._deadline = deadline
        self._chance = random.Random(seed)
        self._faults = faults
        # From just before a kill to the successor's first sign of life.
        self.times: list[tuple[float, float]] = []
        self.under_way = 0.0

    def run(self) -> None:
        host = self._cri.host
        while (left := self._deadline - time.monotonic()) > 0:
            time.sleep(min(left, KILL * 2 * self._chance.random()))
            keeper, daemon = shared.keeper_and_daemon(host)
            if not daemon:
                continue
            self.under_way = time.monotonic()
            host.shell(f"kill -9 {daemon} || true")
            while shared.keeper_and_daemon(host)[1] in (0, daemon):
                if time.monotonic() - self.under_way > PATIENCE:
                    self._faults.append(f"no successor of {daemon}, keeper {keeper}")
                    return
                time.sleep(0.1)
            self.times.append((self.under_way, time.monotonic()))
            self.under_way = 0.0

    def was_at_work(self, begin: float) -> bool:
        """Whether there was a kill since ``begin``, or its successor has just come."""
        return bool(self.under_way) or any(end > begin for _, end in self.times[-3:])


class Node:
    """The pods, and what was seen of them."""

    def __init__(self, cri: Cri, seconds: float, pods: int, seed: int) -> None:
        self.cri = cri
        self.deadline = time.monotonic() + seconds
        self.pods = pods
        self.seed = seed
        self.faults: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self.makers = threading.Semaphore(MAKERS)
        self.killer = Killer(cri, self.deadline, seed, self.faults)

    def run(self) -> None:
        """All pods until the time is up."""
        slots = [
            threading.Thread(target=self._slot, args=(n,), daemon=True) for n in range(self.pods)
        ]
        for thread in (*slots, self.killer):
            thread.start()
        while time.monotonic() < self.deadline:
            time.sleep(min(REPORT, max(0.0, self.deadline - time.monotonic())))
            self.tell()
        for thread in (*slots, self.killer):
            thread.join()

    def tell(self) -> None:
        """How far it is."""
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
        print(
            f"kills {len(self.killer.times)}; {counts}; the slowest probe {self.slowest:.2f} s; "
            f"{len(self.faults)} faults; {self._daemon()}",
            flush=True,
        )

    def _daemon(self) -> str:
        keeper, daemon = shared.keeper_and_daemon(self.cri.host)
        script = f"""for pid in {keeper} {daemon}; do
            echo $(ls /proc/$pid/fd | wc -l) $(sed -n 's/^Pss: *//p' /proc/$pid/smaps_rollup)
        done 2>/dev/null || true"""
        lines = self.cri.host.shell(script).splitlines()
        return "descriptors and PSS of keeper and daemon: " + ", ".join(lines)

    def _slot(self, number: int) -> None:
        chance = random.Random(self.seed * 1000 + number)
        while time.monotonic() < self.deadline:
            try:
                self._life(number, chance)
            except (grpc.RpcError, EngineError, OSError) as error:
                details = error.details() if isinstance(error, grpc.Call) else str(error)
                self.faults.append(f"slot {number}: {details}")
                time.sleep(LOOK)

    def _life(self, number: int, chance: random.Random) -> None:
        lines, status = chance.randint(*LIVES), chance.randint(0, 100)
        stops = lines // 2 if chance.randrange(STOPPED) == 0 else lines
        probed = number % PROBED == 0
        words = ("sh", "-c", COUNT, "sh", str(lines), str(status))
        with self.makers:
            if time.monotonic() > self.deadline:
                return
            pod = Pod(self.cri, HANDLER, network=False)
            try:
                container = pod.start("counter", *words)
            except BaseException:
                pod.remove()
                raise
        self.counts["pods"] += 1
        try:
            begin = time.monotonic()
            while pod.status(container)["state"] != EXITED:
                now = time.monotonic()
                if now - begin > stops or now > self.deadline:
                    self.cri("StopContainer", container_id=container, timeout=PATIENCE)
                    break
                self._probe(container, pod.name, now + LOOK, often=probed)
            self._check(pod, container, lines, status)
        finally:
            pod.remove()

    def _probe(self, container: str, token: str, end: float, *, often: bool) -> None:
        """Until ``end``; one that is not probed ``often`` is left alone."""
        while often and time.monotonic() < end:
            begin = time.monotonic()
            command = ["sh", "-c", f"echo {token}; exit 7"]
            try:
                done = self.cri("ExecSync", container_id=container, cmd=command, timeout=90)
            except grpc.RpcError as error:
                details = error.details() if isinstance(error, grpc.Call) else str(error)
                if self._ends(container):
                    return
                if not self.killer.was_at_work(begin):
                    self.faults.append(f"{token}: probe: {details}")
                self.counts["probes that a kill has met"] += 1
                continue
            took = time.monotonic() - begin
            self.slowest = max(self.slowest, took)
            self.counts["probes"] += 1
            said = done["stdout"].decode(), done["exit_code"]
            # The kernel kills it with its container, which may end meanwhile.
            if said != (f"{token}\n", 7) and done["exit_code"] != 137:
                self.faults.append(f"{token}: probe: {said}")
            time.sleep(max(0.0, min(PROBE - took, end - time.monotonic())))
        time.sleep(max(0.0, end - time.monotonic()))

    def _ends(self, container: str) -> bool:
        """Whether it has ended: containerd says so later than a probe finds out."""
        deadline = time.monotonic() + LOOK
        while time.monotonic() < deadline:
            if self.cri("ContainerStatus", container_id=container)["status"]["state"] == EXITED:
                return True
            time.sleep(PROBE / 10)
        return False

    def _check(self, pod: Pod, container: str, lines: int, status: int) -> None:
        """Each line once and in order, and the status that goes with the last one."""
        code = pod.wait_for_end(container)["exit_code"]
        ends = {f"stdout F {word}" for word in ("last", "stopped")}
        path = pod.logs / "counter.log"
        try:
            pod.host.wait_until(lambda: ends & set(pod.log("counter")), "the last line", path)
        except EngineError:
            text = f"{len(pod.log('counter'))} lines of {lines} and no last one, exit status {code}"
            self.faults.append(f"{pod.name}: {text}")
            return
        *said, last = pod.log("counter")
        stopped = last == "stdout F stopped"
        if stopped and said[-1:] == ["stdout F last"]:
            said.pop()  # it was told to while it ended by itself
        wanted = [f"stdout F line {n}" for n in range(len(said) if stopped else lines)]
        if said != wanted:
            pairs = zip(said, wanted, strict=False)
            at = next((n for n, (one, other) in enumerate(pairs) if one != other), -1)
            text = f"{len(said)} lines of {len(wanted)}, the first that is wrong is number {at}"
            self.faults.append(f"{pod.name}: {text}: {said[at : at + 3]}")
        if code != (STOPPED_STATUS if stopped else status):
            self.faults.append(f"{pod.name}: exit status {code}, after {last!r}, of {status}")
        self.counts["lines"] += len(said) + 1
        self.counts["exits"] += 1
        shutil.rmtree(pod.logs)

    def left(self) -> list[str]:
        """What there is of pods and daemon, when they have had time to go."""
        host = self.cri.host
        found: list[str] = []

        def look() -> bool:
            found[:] = [f"process {pid}" for pid in shared.keeper_and_daemon(host) if pid]
            listed = self.cri.containerd("-n", "k8s.io", "containers", "ls", "-q")
            found.extend(listed.output.split())
            # A pod's own is the kubelet's to remove.
            below = f"*{host.cgroup_parent}/pod-*/*"
            search = host.run("find", "/sys/fs/cgroup", "-type", "d", "-path", below)
            found.extend(search.output.split())
            found.extend(host.run("ls", "/run/containerd/s").output.split())
            return not found

        try:
            host.wait_until(look, "the end of all pods", self.cri.containerd.log)
        except EngineError:
            pass  # what there is is told
        return found


def main() -> int:
    """0 when nothing was lost or left."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.pods")
    parser.add_argument("--runtime", default=".venv/bin/ociruntime")
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends it finds nothing left
    enter_own_mount_namespace()
    directory = Path(tempfile.mkdtemp(prefix="ocirt-soak-"))
    try:
        cri = Cri(directory, Path(asked.runtime).absolute())
        try:
            node = Node(cri, asked.hours * 3600, asked.pods, asked.seed)
            node.run()
            left = node.left()
            log = cri.containerd.log.read_text(errors="replace")
        finally:
            cri.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"seed {asked.seed}")
    for line in [*node.faults, *(f"left: {line}" for line in left)]:
        print(line)
    if node.faults or left:
        print(*[line for line in log.splitlines() if "ociruntime: " in line][-50:], sep="\n")
    print(f"{len(node.faults)} faults, {len(left)} things left")
    return 1 if node.faults or left else 0


if __name__ == "__main__":
    sys.exit(main())

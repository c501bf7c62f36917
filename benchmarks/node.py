"""A node full of pods: our shim with one daemon for all of them, and with one for each, side by
side with containerd's own shim that drives runc and crun.

    benchmarks/node.py [--pods N] [--execs N] [--crowd N] [--requests N] [--output FILE]

Spoken to as containerd does, over its own protocol, without the daemon (benchmarks/shim.py). One
kind after the other makes so many pods of one container each. Reported are

- the PSS of all of its processes with 1, with 10 and with all pods; with one, and with all, also
  when nothing has happened for a while: ours gives memory back then;
- wall time of one more pod (`start` of the shim, Create, Start): median of the first ten, and of
  the last ten;
- wall time of so many execs of /bin/true at once, spread over all pods;
- the CPU time of one exec, of all processes that have a part in it: what a probe costs;
- the CPU time of one Stats: what a scrape costs the shim of each container;
- the CPU time of all shims while nothing happens for some seconds.

Then a crowd, of ours with one daemon alone: so many containers at once, what one more takes at the
begin, in the middle and at the end, the metrics of five hundred of them, and the end of all. And
the storm (benchmarks/storm.py): so many requests to a quiet pod beside nine hostile ones.

Run as root.
"""

from __future__ import annotations

import argparse
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

from benchmarks import storm
from benchmarks.bundles import make_rootfs
from benchmarks.peers import OURS as RUNTIME
from benchmarks.peers import PEERS, newest, versions
from benchmarks.shim import (
    CGROUP,
    CGROUPS,
    DEBIANS,
    OURS,
    PROCESS,
    Client,
    Events,
    Shims,
    as_a_service,
    pss_of,
    remove_cgroups,
)
from conformance.host import enter_own_mount_namespace
from ociruntime.resident.loop import REST_SECONDS
from ociruntime.shim import messages as m

IDLE_SECONDS = 5.0
PROBES = 50
RUNNING = 2
SCRAPES, SCRAPED_PODS = 100, 3
SCRAPED = 500
TICK = os.sysconf("SC_CLK_TCK")
Pod = tuple[Client, str]


def shim_processes(pods: list[Pod]) -> set[int]:
    """The shims of these pods, and the keeper of a daemon of ours that has one."""
    found = set()
    for client, container in pods:
        said = client("Connect", m.PROCESS_KEY, m.CONNECT_RESPONSE, id=container)
        found.add(int(said["shim_pid"]))
    for pid in set(found):
        parent = int(_stat(pid)[1])
        name = Path(f"/proc/{parent}/comm").read_text()
        if name.startswith("ociruntime-keep"):
            found.add(parent)
    return found


def _stat(pid: int) -> list[str]:
    """From the state on (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu(pids: set[int]) -> float:
    """Milliseconds of these processes and of all that they have waited for."""
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in pids) * 1000 / TICK


def more(shims: Shims, rootfs: Path, pods: list[Pod], count: int, times: list[float]) -> None:
    """Make pods until there are ``count``."""
    while len(pods) < count:
        container, bundle = shims.bundle(rootfs, ["/bin/sleep", "1000"], "")
        began = time.perf_counter()
        client = shims.start(container, bundle)
        shims.create(client, container, bundle)
        times.append((time.perf_counter() - began) * 1000)
        pods.append((client, container))


def execs(pods: list[Pod], count: int, name: str) -> None:
    """So many execs of /bin/true at once, each to its end."""
    key, spec = m.PROCESS_KEY, PROCESS
    which = [(*pods[number % len(pods)], f"{name}-{number}") for number in range(count)]
    for method, request, answer, values in (
        ("Exec", m.EXEC, m.EMPTY, {"spec": spec}),
        ("Start", key, m.PID, {}),
        ("Wait", key, m.WAIT_RESPONSE, {}),
        ("Delete", key, m.DELETE_RESPONSE, {}),
    ):
        asked = [
            (client, client.ask(method, request, id=container, exec_id=exec_id, **values))
            for client, container, exec_id in which
        ]
        for client, number in asked:
            client.answer(number, method, answer)


def measure(shims: Shims, rootfs: Path, count: int, at_once: int) -> dict[str, float]:
    """All figures of one kind."""
    figures: dict[str, float] = {}
    pods: list[Pod] = []
    times: list[float] = []
    try:
        for number in sorted({1, min(10, count), count}):
            more(shims, rootfs, pods, number, times)
            total = sum(pss_of(pid) for pid in shim_processes(pods))
            figures[f"PSS of all shims, {number} pods, KiB"] = total
            if number in (1, count):
                pids = shim_processes(pods)
                time.sleep(REST_SECONDS + 1)
                total = sum(pss_of(pid) for pid in pids)
                figures[f"the same at rest, {number} pods, KiB"] = total
        figures["one more pod, the first ten, ms"] = statistics.median(times[:10])
        figures[f"one more pod, the last ten of {count}, ms"] = statistics.median(times[-10:])
        pids = shim_processes(pods)
        before = cpu(pids)
        time.sleep(IDLE_SECONDS)
        figures[f"CPU of all shims in {IDLE_SECONDS:g} s of rest, ms"] = cpu(pids) - before
        began = time.perf_counter()
        execs(pods, at_once, "storm")
        figures[f"{at_once} execs at once, ms"] = (time.perf_counter() - began) * 1000
        before = cpu(pids)
        for number in range(PROBES):
            execs([pods[number % len(pods)]], 1, f"probe-{number}")
        figures["CPU of one exec, ms"] = (cpu(pids) - before) / PROBES
        # Few pods: each process's time is told in hundredths of a second.
        before = cpu(pids)
        scraped = pods[:SCRAPED_PODS] * SCRAPES
        for client, container in scraped:
            client("Stats", m.PROCESS_KEY, m.STATS_RESPONSE, id=container)
        figures["CPU of one Stats, ms"] = (cpu(pids) - before) / len(scraped)
    finally:
        for client, container in pods:
            client("Kill", m.KILL, m.EMPTY, id=container, signal=9)
        for client, container in pods:
            shims.finish(client, container)
            shims.end(client, container)
    return figures


def crowd(shims: Shims, rootfs: Path, count: int) -> dict[str, float]:
    """``count`` containers at once, in a daemon for all."""
    figures: dict[str, float] = {}
    pods: list[Pod] = []
    times: list[float] = []
    try:
        more(shims, rootfs, pods, count, times)
        middle = min(SCRAPED, count)
        for name, some in (
            ("the first ten", times[:10]),
            (f"ten around the {middle}th", times[middle - 5 : middle + 5]),
            (f"the last ten of {count}", times[-10:]),
        ):
            figures[f"one more pod, {name}, ms"] = statistics.median(some)
        pids = shim_processes(pods[:1])
        figures[f"PSS of daemon and keeper, {count} pods, KiB"] = sum(map(pss_of, pids))
        time.sleep(REST_SECONDS + 1)
        figures["the same at rest, KiB"] = sum(map(pss_of, pids))
        before = cpu(pids)
        time.sleep(IDLE_SECONDS)
        figures[f"CPU in {IDLE_SECONDS:g} s of rest, ms"] = cpu(pids) - before
        alive = sum(_is_alive(client, container) for client, container in pods)
        figures["containers that run"] = alive
        before, began = cpu(pids), time.perf_counter()
        for client, container in pods[:middle]:
            client("Stats", m.PROCESS_KEY, m.STATS_RESPONSE, id=container)
        figures[f"Stats of {middle}, ms"] = (time.perf_counter() - began) * 1000
        figures[f"Stats of {middle}, CPU of the daemon, ms"] = cpu(pids) - before
        words = [str(RUNTIME), "--root", str(shims.root), "metrics", "--shims", "/run/containerd/s"]
        usage, began = _children(), time.perf_counter()
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        figures[f"`metrics` of {count}, ms"] = (time.perf_counter() - began) * 1000
        figures[f"`metrics` of {count}, CPU, ms"] = _children() - usage
        figures["containers in `metrics`"] = said.count("\nociruntime_container_pids{")
    finally:
        began = time.perf_counter()
        for client, container in pods:
            client("Kill", m.KILL, m.EMPTY, id=container, signal=9)
        for client, container in pods:
            shims.finish(client, container)
            shims.end(client, container)
    figures["the end of one, ms"] = (time.perf_counter() - began) * 1000 / count
    figures["cgroups that are left"] = sum(
        path.is_dir()
        for place in CGROUPS.iterdir()
        for path in (place / CGROUP).glob(f"bench-{shims.name}-*")
    )
    return figures


def _is_alive(client: Client, container: str) -> bool:
    said = client("State", m.PROCESS_KEY, m.STATE, id=container)
    return int(said["status"]) == RUNNING


def _children() -> float:
    """Milliseconds of CPU that our children had that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


def table(found: dict[str, dict[str, float]]) -> str:
    """The result in Markdown: a column for each kind."""
    names = list(found)
    lines = ["| " + " | ".join(["", *names]) + " |", "| --- " * (len(names) + 1) + "|"]
    for work in found[names[0]]:
        digits = 1 if work.endswith(" ms") or " : " in work else 0
        cells = [work, *(f"{found[name][work]:.{digits}f}" for name in names)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--execs", type=int, default=300)
    parser.add_argument("--crowd", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enter_own_mount_namespace()  # crun asks for every controller that the kernel has
    place = Path(tempfile.mkdtemp(prefix="ocirt-bench-"))
    try:
        make_rootfs(place / "rootfs")
        events = Events(place / "events")
        events.start()
        ours = str(OURS)
        kinds = [
            Shims("one-daemon", ours, "", place / "one", events.address, shared=True),
            Shims("ociruntime", ours, "", place / "ours", events.address),
        ]
        peers = {name: newest(name) for name in PEERS}
        kinds += [
            Shims(name, DEBIANS, path, place / name, events.address)
            for name, path in peers.items()
            if path and shutil.which(DEBIANS)
        ]
        most = 8 * max(arguments.pods, arguments.crowd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, most), hard))
        found = {
            shims.name: measure(shims, place / "rootfs", arguments.pods, arguments.execs)
            for shims in kinds
        }
        crowded = {kinds[0].name: crowd(kinds[0], place / "rootfs", arguments.crowd)}
        with as_a_service():
            stormy = {
                shims.name: storm.measure(shims, place / "rootfs", place, arguments.requests)
                for shims in kinds
            }
        text = (
            f"{table(found)}\n## A crowd\n\n{table(crowded)}\n## Nine hostile pods\n\n"
            "What all but one of a hundred requests to a quiet pod take at most, alone and beside "
            "nine hostile ones\n(`benchmarks/storm.py` says what these do).\n\n"
            f"{table(stormy)}"
        )
        print(text)
        if arguments.output:
            arguments.output.write_text(
                "# Performance of a node full of pods\n\n"
                "Made by `make bench`; not by hand.\n\n"
                f"Linux {platform.release()}, {os.cpu_count()} CPUs. `one-daemon` is our shim with "
                '`Daemon = "namespace"`, its keeper included,\n'
                "`ociruntime` the same with one daemon for each pod; the others are\n"
                f"{DEBIANS} of containerd with the runtime named.\n\n"
                f"{versions([str(RUNTIME), 'containerd', *filter(None, peers.values())])}\n{text}"
            )
    finally:
        shutil.rmtree(place, ignore_errors=True)
        remove_cgroups()
    return 0


if __name__ == "__main__":
    sys.exit(main())

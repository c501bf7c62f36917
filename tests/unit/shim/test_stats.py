"""Metrics of cgroup v2, and what its memory.events tells: read from files as the kernel writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from ociruntime.cgroups.path import Place, Placement
from ociruntime.shim.metrics import METRICS_V1, METRICS_V2
from ociruntime.shim.oom import watch
from ociruntime.shim.stats import PIECE, UNLIMITED, V1_URL, V2_URL, read_stats

if TYPE_CHECKING:
    from ociruntime.resident.loop import Loop

ZERO_ENTRY = {"limit": 0, "usage": 0, "max": 0, "failcnt": 0}
FILES = {
    "pids.current": "3\n",
    "pids.max": "20\n",
    "cpu.stat": "usage_usec 700\nuser_usec 500\nsystem_usec 200\nnr_periods 9\nnr_throttled 2\n"
    "throttled_usec 44\nnr_bursts 1\nburst_usec 5\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "memory.peak": "8192\n",
    "memory.swap.current": "0\n",
    "memory.swap.max": "1048576\n",
    "memory.stat": "anon 100\nfile 200\nnot_known_here 5\npgfault 17\nthp_collapse_alloc 3\n",
    "memory.events": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n",
    "io.stat": "8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:0 \n",
    "hugetlb.2MB.current": "2097152\n",
    "hugetlb.2MB.max": "max\n",
    "hugetlb.2MB.events": "max 6\n",
    "rdma.current": "mlx4_0 hca_handle=2 hca_object=2000\n",
    "rdma.max": "mlx4_0 hca_handle=max hca_object=max\n",
}


@pytest.fixture
def placement(tmp_path: Path) -> Placement:
    """A container's cgroup on a host with cgroup v2."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return Placement("v2", [Place("", str(tmp_path), [], 0)])


def metrics(placement: Placement) -> dict[str, Any]:
    url, message = read_stats(placement)
    assert url == V2_URL
    return METRICS_V2.decode(message)


def test_every_controller(placement: Placement) -> None:
    found = metrics(placement)
    assert found["pids"] == {"current": 3, "limit": 20}
    assert found["cpu"]["usage_usec"] == 700
    assert found["cpu"]["throttled_usec"] == 44
    assert found["cpu"]["burst_usec"] == 5
    assert found["cpu"]["psi"]["some"] == {"avg10": 1.5, "avg60": 0.25, "avg300": 0, "total": 1234}
    assert found["cpu"]["psi"]["full"]["total"] == 7
    memory = found["memory"]
    names = ("anon", "file", "pgfault", "thp_collapse_alloc", "usage", "max_usage", "swap_limit")
    assert [memory[name] for name in names] == [100, 200, 17, 3, 4096, 8192, 1048576]
    assert memory["usage_limit"] == UNLIMITED
    assert found["memory_events"]["oom_kill"] == 4
    first, second = found["io"]["usage"]
    assert (first["major"], first["minor"], first["rbytes"], first["wios"]) == (8, 16, 10, 2)
    assert (second["minor"], second["rbytes"]) == (0, 0)
    (pages,) = found["hugetlb"]
    assert pages == {"current": 2097152, "max": UNLIMITED, "pagesize": "2MB", "failcnt": 6}
    assert found["rdma"]["current"] == [{"device": "mlx4_0", "hca_handles": 2, "hca_objects": 2000}]
    assert found["rdma"]["limit"][0]["hca_objects"] == 0xFFFFFFFF


def test_controllers_that_are_off(placement: Placement, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).unlink()
    found = metrics(placement)
    assert found["pids"] == {"current": 0, "limit": 0}
    assert found["memory"]["usage"] == 0
    assert not found["memory"]["psi"]
    assert found["io"]["usage"] == []


def test_files_of_any_length(placement: Placement, tmp_path: Path) -> None:
    """A machine with hundreds of disks has a long io.stat; the last line counts, too."""
    line = "8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n"
    for length in (PIECE - len(line), PIECE, PIECE + 1, 3 * PIECE):
        padding = "9:0".ljust(length - len(line) - 1) + "\n"
        (tmp_path / "io.stat").write_text(padding + line)
        assert (tmp_path / "io.stat").stat().st_size == length
        assert metrics(placement)["io"]["usage"][-1]["wbytes"] == 20
    (tmp_path / "io.stat").write_text(line * 400)
    assert len(metrics(placement)["io"]["usage"]) == 400


def test_version_1(tmp_path: Path) -> None:
    """Only of the controllers that count anything a cgroup is opened, and none stays open."""
    texts = {
        "cpu,cpuacct": {
            "cpuacct.usage": "7000\n",
            "cpuacct.stat": "user 3\nsystem 4\n",
            "cpuacct.usage_percpu": "4000 3000 \n",
            "cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 77\n",
        },
        "pids": {"pids.current": "3\n", "pids.max": "max\n"},
        "memory": {"memory.stat": "cache 5\ntotal_pgfault 6\n", "memory.failcnt": "1\n"},
        "blkio": {"blkio.throttle.io_serviced": "8:0 Read 2\n8:0 Total 2\nTotal 2\n"},
        "freezer": {},
        "name=systemd": {},
    }
    places = []
    for key, files in texts.items():
        (tmp_path / key).mkdir()
        for name, text in files.items():
            (tmp_path / key / name).write_text(text)
        places.append(Place(key, str(tmp_path), [key], 0))
    before = os.listdir("/proc/self/fd")
    url, message = read_stats(Placement("v1", places))
    assert os.listdir("/proc/self/fd") == before
    assert url == V1_URL
    found = METRICS_V1.decode(message)
    usage = found["cpu"]["usage"]
    assert usage == {"total": 7000, "user": 30000000, "kernel": 40000000, "per_cpu": [4000, 3000]}
    assert found["cpu"]["throttling"]["throttled_time"] == 77
    assert found["pids"] == {"current": 3, "limit": 0}
    assert (found["memory"]["cache"], found["memory"]["total_pgfault"]) == (5, 6)
    assert found["memory"]["usage"]["failcnt"] == 1
    assert [entry["op"] for entry in found["blkio"]["serviced"]] == ["Read", "Total"]
    assert found["blkio"]["queued"] == []
    assert found["hugetlb"] == []
    (tmp_path / "blkio" / "blkio.bfq.io_queued_recursive").write_text("8:0 Write 1\nTotal 1\n")
    (tmp_path / "blkio" / "blkio.bfq.time_recursive").write_text("8:0 12\n")
    blkio = METRICS_V1.decode(read_stats(Placement("v1", places))[1])["blkio"]
    assert (blkio["queued"][0]["value"], blkio["time"][0]["value"]) == (1, 12)


def test_a_cgroup_that_is_gone(tmp_path: Path) -> None:
    """It has just ended: nothing is counted, and that is no error."""
    for mode, key, message in (("v2", "", METRICS_V2), ("v1", "memory", METRICS_V1)):
        placement = Placement(mode, [Place(key, str(tmp_path), ["gone"], 0)])
        assert message.decode(read_stats(placement)[1])["memory"]["usage"] in (0, ZERO_ENTRY)


class StubLoop:
    """A loop that is told of nothing; a regular file cannot be polled."""

    def __init__(self) -> None:
        self.ready: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, _events: int, ready: Callable[[int], None]) -> None:
        self.ready[fd] = ready

    def forget(self, fd: int) -> None:
        del self.ready[fd]


def test_a_kill_for_want_of_memory_is_told_once(placement: Placement, tmp_path: Path) -> None:
    """memory.events changes for other reasons, too; those of before are not the container's."""
    loop = StubLoop()
    told: list[int] = []
    watched = watch(cast("Loop", loop), placement, lambda: told.append(1))
    assert watched is not None
    events = tmp_path / "memory.events"
    (ready,) = loop.ready.values()

    def change(old: str, new: str) -> None:
        events.write_text(events.read_text().replace(old, new))
        ready(0)

    change("high 1", "high 2")
    assert told == []
    change("oom_kill 4", "oom_kill 6")
    assert told == [1]
    ready(0)
    assert told == [1]
    change("oom_kill 6", "oom_kill 7")
    watched.check()
    assert told == [1, 1]
    watched.close()
    watched.close()
    assert loop.ready == {}


def test_no_memory_controller(placement: Placement, tmp_path: Path) -> None:
    (tmp_path / "memory.events").unlink()
    assert watch(cast("Loop", StubLoop()), placement, lambda: None) is None

"""Statistics out of the texts of cgroup files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import Hierarchy, Layout
from ociruntime.cgroups.files import CHUNK
from ociruntime.cgroups.path import Placement, place
from ociruntime.cgroups.reader import Reader, numbers, pids
from ociruntime.cgroups.stats import stats
from ociruntime.cgroups.v1 import stats as stats_v1
from ociruntime.cgroups.v2 import stats as stats_v2
from ociruntime.kernel.constants import CGROUP_SUPER_MAGIC
from ociruntime.kernel.kernel import Kernel
from tests.unit.cgroups.fake import FakeCgroups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Files = Callable[..., Reader]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A reader of files with these texts."""

    def make(texts: dict[str, str]) -> Reader:
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        kernel = Kernel()
        return Reader(kernel, kernel.open(str(tmp_path), 0))

    return make


def test_cpu_v1(files: Files) -> None:
    reader = files(
        {
            "cpuacct.stat": "user 5\nsystem 7\n",
            "cpuacct.usage": "123456789\n",
            "cpuacct.usage_percpu": "100 23 \n",
            "cpuacct.usage_all": "cpu user system\n0 60 40\n1 20 3\n",
            "cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 77\nnr_bursts 0\n",
        }
    )
    assert stats_v1.cpu(reader, reader) == {
        "usage": {
            "total": 123456789,
            "percpu": [100, 23],
            "percpu_kernel": [40, 3],
            "percpu_user": [60, 20],
            "kernel": 70_000_000,
            "user": 50_000_000,
        },
        "throttling": {"periods": 9, "throttledPeriods": 2, "throttledTime": 77},
    }


def test_cpu_v2(files: Files) -> None:
    reader = files(
        {
            "cpu.stat": "usage_usec 3\nuser_usec 1\nsystem_usec 2\nnr_periods 4\n"
            "nr_throttled 1\nthrottled_usec 6\n",
            "cpu.pressure": "some avg10=0.50 avg60=0.00 avg300=0.00 total=9\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        }
    )
    quiet = {"avg10": 0, "avg60": 0, "avg300": 0, "total": 0}
    assert stats_v2.cpu(reader) == {
        "usage": {"total": 3000, "kernel": 2000, "user": 1000},
        "throttling": {"periods": 4, "throttledPeriods": 1, "throttledTime": 6000},
        "psi": {"some": {**quiet, "avg10": 0.5, "total": 9}, "full": quiet},
    }


def test_memory_v1(files: Files) -> None:
    texts = {"memory.stat": "cache 5\nrss 6\n"}
    for prefix, limit in (("memory", 100), ("memory.memsw", 200)):
        texts[f"{prefix}.limit_in_bytes"] = f"{limit}\n"
        texts[f"{prefix}.usage_in_bytes"] = "50\n"
        texts[f"{prefix}.max_usage_in_bytes"] = "60\n"
        texts[f"{prefix}.failcnt"] = "3\n"
    found = stats_v1.memory(files(texts))
    assert list(found) == ["cache", "usage", "swap", "kernel", "kernelTCP", "raw"]
    assert found["cache"] == 5
    assert found["usage"] == {"limit": 100, "usage": 50, "max": 60, "failcnt": 3}
    assert found["swap"]["limit"] == 200
    assert found["kernel"] == {"limit": 0, "failcnt": 0}
    assert found["raw"] == {"cache": 5, "rss": 6}


def test_memory_v2(files: Files) -> None:
    """Swap is told with memory, as v1 does."""
    texts = {
        "memory.current": "50\n",
        "memory.max": "100\n",
        "memory.peak": "70\n",
        "memory.swap.current": "5\n",
        "memory.swap.max": "20\n",
        "memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n",
        "memory.stat": "file 9\nanon 41\n",
    }
    found = stats_v2.memory(files(texts))
    assert found["usage"] == {"limit": 100, "usage": 50, "max": 70, "failcnt": 4}
    assert found["swap"] == {"limit": 120, "usage": 55, "failcnt": 0}
    assert found["cache"] == 9
    assert list(found["raw"]) == ["anon", "file"]
    found = stats_v2.memory(files({**texts, "memory.max": "max\n", "memory.swap.max": "max\n"}))
    assert found["usage"]["limit"] == found["swap"]["limit"] == 2**64 - 1


def test_block_io(files: Files) -> None:
    texts = {
        "blkio.throttle.io_serviced_recursive": "8:0 Read 2\n8:0 Total 2\nTotal 2\n",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\nTotal 4096\n",
        "blkio.bfq.io_serviced_recursive": "Total 0\n",
    }
    read = {"major": 8, "op": "Read", "value": 4096}
    found = stats_v1.blkio(files(texts))
    assert found["ioServiceBytesRecursive"] == [read]
    assert [entry["op"] for entry in found["ioServicedRecursive"]] == ["Read", "Total"]
    texts["blkio.bfq.io_serviced_recursive"] = "254:16 Write 1\n"
    texts["blkio.bfq.time_recursive"] = "254:16 77\n"
    found = stats_v1.blkio(files(texts))
    assert found["ioServicedRecursive"] == [{"major": 254, "minor": 16, "op": "Write", "value": 1}]
    assert found["ioTimeRecursive"] == [{"major": 254, "minor": 16, "value": 77}]
    reader = files({"io.stat": "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n\n"})
    second = stats_v2.blkio(reader)
    assert second["ioServiceBytesRecursive"] == [read, {"major": 8, "op": "Write"}]


def test_huge_pages(files: Files) -> None:
    reader = files(
        {
            "hugetlb.2MB.usage_in_bytes": "4\n",
            "hugetlb.2MB.max_usage_in_bytes": "8\n",
            "hugetlb.2MB.failcnt": "1\n",
            "hugetlb.2MB.rsvd.usage_in_bytes": "9\n",
            "hugetlb.1GB.current": "5\n",
            "hugetlb.1GB.events": "max 2\n",
        }
    )
    assert stats_v1.hugetlb(reader) == {"2MB": {"usage": 4, "max": 8, "failcnt": 1}}
    assert stats_v2.hugetlb(reader) == {"1GB": {"usage": 5, "failcnt": 2}}


def test_pids_and_cpuset(files: Files) -> None:
    texts = {"pids.current": "3\n", "pids.max": "max\n"}
    assert pids(files(texts)) == {"current": 3}
    assert pids(files({**texts, "pids.max": "9\n"})) == {"current": 3, "limit": 9}
    reader = files({"cpuset.cpus.effective": "0-1,3\n", "cpuset.mems.effective": "0\n"})
    assert stats_v2.cpuset(reader)["cpus"] == [0, 1, 3]
    assert numbers("") == []


class Counting(Kernel):
    """Notes the files that are opened and how often is read."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.reads = 0

    def openat(self, directory: int, name: str, flags: int, mode: int = 0) -> int:
        self.opened.append(name)
        return super().openat(directory, name, flags, mode)

    def read(self, fd: int, size: int) -> bytes:
        self.reads += 1
        return super().read(fd, size)


@pytest.mark.parametrize(("length", "reads"), [(0, 1), (5, 1), (CHUNK, 2), (2 * CHUNK + 1, 3)])
def test_counters_are_read_no_further_than_to_their_end(
    tmp_path: Path, length: int, reads: int
) -> None:
    kernel = Counting()
    text = "8:0 rbytes=1\n" * length
    (tmp_path / "io.stat").write_text(text[:length])
    reader = Reader(kernel, kernel.open(str(tmp_path), 0))
    assert reader.text("io.stat") == text[:length].rstrip("\n")
    assert kernel.reads == reads
    assert reader.text("memory.stat") == ""
    kernel.close(reader.directory)


def test_a_brief_answer_reads_no_more_than_it_tells(tmp_path: Path) -> None:
    """``metrics`` of a thousand containers tells nothing of their cpusets, for example."""
    kernel = Counting()
    hierarchies = []
    for name in ("pids", "cpuset", "cpuacct", "memory"):
        (tmp_path / name / "leaf").mkdir(parents=True)
        (tmp_path / name / "leaf" / f"{name}.current").write_text("7\n")
        hierarchies.append(Hierarchy(name, (name,), f"{tmp_path}/{name}", "/", "/"))
    group = open_group(kernel, place(Layout("v1", hierarchies), "/leaf", "c1"))
    kernel.filesystem = lambda _fd: CGROUP_SUPER_MAGIC  # type: ignore[method-assign]
    found = stats(group, brief=True)
    opened, kernel.opened = kernel.opened, []
    whole = stats(group)
    group.close()
    assert found["pids"] == {"current": 7}
    assert set(found["memory"]) == {"usage", "swap"}
    assert "cpuset" not in found
    assert len(kernel.opened) == len(set(kernel.opened))
    left_out = set(kernel.opened) - set(opened)
    assert {name.split(".")[0] for name in left_out} == {"cpuset", "cpuacct", "memory"}
    assert all("kmem" in name for name in left_out if name.startswith("memory."))
    assert all(found[section].items() <= whole[section].items() for section in ("pids", "blkio"))


def test_every_section_is_there_whatever_is_mounted(fake: FakeCgroups) -> None:
    sections = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"]
    unified = Hierarchy("", (), f"{fake.base}/unified", "/", "/")
    pids = Hierarchy("pids", ("pids",), f"{fake.base}/pids", "/", "/")
    for layout in (
        Layout("v2", [unified]),
        Layout("hybrid", [pids, unified]),
        Layout("v1", [pids]),
    ):
        group = open_group(fake, place(layout, "/leaf", "c1"))
        group.create()
        assert list(stats(group)) == [*sections, "intel_rdt", "network_interfaces"]
        group.close()
        group.remove()
    with pytest.raises(FileNotFoundError):
        stats(open_group(fake, place(Layout("v1", [pids]), "/gone", "c1")))
    assert stats(open_group(fake, Placement("none", [])))["memory"]["usage"]["limit"] == 0

"""linux.resources -> files of cgroup v1."""

from __future__ import annotations

from typing import Any

import pytest

from ociruntime.cgroups.setting import EARLY, dotted
from ociruntime.cgroups.v1.resources import settings_v1
from ociruntime.errors import PlanError

Writes = list[tuple[str, str, str]]


def writes(resources: dict[str, Any], warnings: list[str] | None = None) -> Writes:
    found = settings_v1(resources, [] if warnings is None else warnings)
    return [
        (item.pointer.removeprefix("/linux/resources"), item.file, item.value) for item in found
    ]


TABLE: list[tuple[dict[str, Any], Writes]] = [
    ({}, []),
    ({"cpu": None, "memory": None}, []),
    ({"cpu": {"shares": 512}}, [("/cpu/shares", "cpu.shares", "512")]),
    (
        {"cpu": {"quota": 5000, "period": 20000, "burst": 1000}},
        [
            ("/cpu/period", "cpu.cfs_period_us", "20000"),
            ("/cpu/quota", "cpu.cfs_quota_us", "5000"),
            ("/cpu/burst", "cpu.cfs_burst_us", "1000"),
        ],
    ),
    ({"cpu": {"quota": -1}}, [("/cpu/quota", "cpu.cfs_quota_us", "-1")]),
    ({"cpu": {"burst": 0}}, [("/cpu/burst", "cpu.cfs_burst_us", "0")]),
    ({"cpu": {"idle": 1}}, [("/cpu/idle", "cpu.idle", "1")]),
    ({"cpu": {"idle": 0}}, [("/cpu/idle", "cpu.idle", "0")]),
    (
        {"cpu": {"cpus": "0-1", "mems": "0", "realtimePeriod": 9000, "realtimeRuntime": 100}},
        [
            ("/cpu/cpus", "cpuset.cpus", "0-1"),
            ("/cpu/mems", "cpuset.mems", "0"),
            ("/cpu/realtimePeriod", "cpu.rt_period_us", "9000"),
            ("/cpu/realtimeRuntime", "cpu.rt_runtime_us", "100"),
        ],
    ),
    # What dockerd 20.10 writes when its user asks for nothing.
    (
        {
            "blockIO": {"weight": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
            "memory": {"limit": 0, "swap": 0, "reservation": 0, "disableOOMKiller": False},
        },
        [],
    ),
    (
        {"memory": {"limit": 100, "swap": 200, "reservation": 50, "kernelTCP": 7}},
        [
            ("/memory/limit", "memory.limit_in_bytes", "100"),
            ("/memory/swap", "memory.memsw.limit_in_bytes", "200"),
            ("/memory/reservation", "memory.soft_limit_in_bytes", "50"),
            ("/memory/kernelTCP", "memory.kmem.tcp.limit_in_bytes", "7"),
        ],
    ),
    (
        {"memory": {"limit": -1}},
        [
            ("/memory/limit", "memory.limit_in_bytes", "-1"),
            ("/memory/limit", "memory.memsw.limit_in_bytes", "-1"),
        ],
    ),
    ({"memory": {"swappiness": 0}}, [("/memory/swappiness", "memory.swappiness", "0")]),
    (
        {"memory": {"disableOOMKiller": True}},
        [("/memory/disableOOMKiller", "memory.oom_control", "1")],
    ),
    ({"pids": {"limit": 20}}, [("/pids/limit", "pids.max", "20")]),
    ({"pids": {"limit": 0}}, [("/pids/limit", "pids.max", "0")]),
    ({"pids": {"limit": -1}}, [("/pids/limit", "pids.max", "max")]),
    ({"pids": {}}, []),
    (
        {
            "blockIO": {
                "weight": 100,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 50}, {"major": 8, "minor": 1}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 5}],
            }
        },
        [
            ("/blockIO/weight", "blkio.bfq.weight", "100"),
            ("/blockIO/weightDevice/0", "blkio.bfq.weight_device", "8:0 50"),
            ("/blockIO/throttleReadBpsDevice/0", "blkio.throttle.read_bps_device", "8:0 1000"),
            ("/blockIO/throttleWriteIOPSDevice/0", "blkio.throttle.write_iops_device", "8:16 5"),
        ],
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]},
        [
            ("/hugepageLimits/0", "hugetlb.2MB.limit_in_bytes", "4194304"),
            ("/hugepageLimits/0", "hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
        ],
    ),
    (
        {"network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]}},
        [
            ("/network/classID", "net_cls.classid", "1048577"),
            ("/network/priorities/0", "net_prio.ifpriomap", "eth0 5"),
        ],
    ),
    (
        {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 0}, "mlx4_0": {"hcaObjects": 7}}},
        [
            ("/rdma/mlx5_1", "rdma.max", "mlx5_1 hca_handle=3 hca_object=0"),
            ("/rdma/mlx4_0", "rdma.max", "mlx4_0 hca_object=7"),
        ],
    ),
    ({"unified": {}}, []),
]


@pytest.mark.parametrize(("resources", "expected"), TABLE)
def test_table(resources: dict[str, Any], expected: Writes) -> None:
    assert writes(resources) == expected


@pytest.mark.parametrize(
    ("resources", "pointer", "words"),
    [
        ({"unified": {"memory.high": "1"}}, "/unified/memory.high", "cgroup v1"),
        ({"blockIO": {"leafWeight": 100}}, "/blockIO/leafWeight", "CFQ"),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}},
            "/blockIO/weightDevice/0/leafWeight",
            "CFQ",
        ),
        ({"cpu": {"shares": 1}}, "/cpu/shares", "the minimum allowed cpu-shares is 2"),
        ({"cpu": {"shares": 1 << 63}}, "/cpu/shares", "the maximum allowed cpu-shares is 262144"),
    ],
)
def test_impossible(resources: dict[str, Any], pointer: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        writes(resources)
    assert caught.value.pointer == "/linux/resources" + pointer
    assert "; " in str(caught.value), "it names no cure"


def test_ignored_with_a_warning() -> None:
    warnings: list[str] = []
    assert writes({"memory": {"kernel": 5, "useHierarchy": False}}, warnings) == []
    assert [line.split()[0] for line in warnings] == [
        "linux.resources.memory.kernel",
        "linux.resources.memory.useHierarchy",
    ]
    warnings.clear()
    assert writes({"memory": {"kernel": 0, "useHierarchy": True}}, warnings) == []
    assert not warnings


def test_what_must_precede_the_process_is_early() -> None:
    section = {"cpus": "0", "mems": "0", "realtimeRuntime": 5, "shares": 5, "quota": 5}
    early = [item.file for item in settings_v1({"cpu": section}, []) if item.phase == EARLY]
    assert early == ["cpuset.cpus", "cpuset.mems", "cpu.rt_runtime_us"]


def test_weights_have_the_name_of_other_kernels_too() -> None:
    (setting,) = settings_v1({"blockIO": {"weight": 70}}, [])
    assert (setting.other_file, setting.other_value) == ("blkio.weight", "70")


def test_only_absence_of_what_is_satisfied_anyway_is_optional() -> None:
    found = settings_v1(
        {"memory": {"limit": 5, "swap": -1}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]},
        [],
    )
    assert {item.file: item.optional for item in found} == {
        "memory.limit_in_bytes": False,
        "memory.memsw.limit_in_bytes": True,
        "hugetlb.2MB.limit_in_bytes": False,
        "hugetlb.2MB.rsvd.limit_in_bytes": True,
    }


@pytest.mark.parametrize(
    ("pointer", "text"),
    [
        ("/linux/resources/cpu/shares", "linux.resources.cpu.shares"),
        ("/linux/resources/hugepageLimits/0", "linux.resources.hugepageLimits[0]"),
        ("/linux/resources/rdma/a~1b~0", "linux.resources.rdma.a/b~"),
    ],
)
def test_dotted(pointer: str, text: str) -> None:
    assert dotted(pointer) == text

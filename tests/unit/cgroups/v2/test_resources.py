"""linux.resources -> files of cgroup v2."""

from __future__ import annotations

from typing import Any

import pytest

from ociruntime.cgroups.resources import asked_of_update, in_words_of
from ociruntime.cgroups.setting import EARLY
from ociruntime.cgroups.v2.resources import settings_v2
from ociruntime.errors import PlanError

Writes = list[tuple[str, str, str]]

TABLE: list[tuple[dict[str, Any], Writes]] = [
    ({}, []),
    ({"cpu": {"shares": 1024}}, [("cpu/shares", "cpu.weight", "100")]),
    ({"cpu": {"quota": 5000}}, [("cpu/quota", "cpu.max", "5000 100000")]),
    (
        {"cpu": {"quota": 5000, "period": 20000, "burst": 10}},
        [("cpu/quota", "cpu.max", "5000 20000"), ("cpu/burst", "cpu.max.burst", "10")],
    ),
    ({"cpu": {"period": 20000}}, [("cpu/period", "cpu.max", "max 20000")]),
    ({"cpu": {"quota": -1}}, [("cpu/quota", "cpu.max", "max 100000")]),
    ({"cpu": {"idle": 1}}, [("cpu/idle", "cpu.idle", "1")]),
    (
        {"cpu": {"cpus": "0", "mems": "0"}},
        [("cpu/cpus", "cpuset.cpus", "0"), ("cpu/mems", "cpuset.mems", "0")],
    ),
    ({"cpu": {"realtimePeriod": 0, "realtimeRuntime": 0}}, []),
    (
        {"memory": {"limit": 100, "swap": 300, "reservation": 50}},
        [
            ("memory/swap", "memory.swap.max", "200"),
            ("memory/limit", "memory.max", "100"),
            ("memory/reservation", "memory.low", "50"),
        ],
    ),
    (
        {"memory": {"limit": -1}},
        [("memory/limit", "memory.swap.max", "max"), ("memory/limit", "memory.max", "max")],
    ),
    ({"memory": {"limit": 100}}, [("memory/limit", "memory.max", "100")]),
    ({"memory": {"disableOOMKiller": False}}, []),
    ({"pids": {"limit": 0}}, [("pids/limit", "pids.max", "0")]),
    ({"pids": {"limit": -1}}, [("pids/limit", "pids.max", "max")]),
    (
        {
            "blockIO": {
                "weight": 10,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 50}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 0}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 1, "rate": 3}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 2, "rate": 4}],
            }
        },
        [
            ("blockIO/weight", "io.bfq.weight", "10"),
            ("blockIO/weightDevice/0", "io.bfq.weight", "8:0 50"),
            ("blockIO/throttleReadBpsDevice/0", "io.max", "8:0 rbps=1000"),
            ("blockIO/throttleWriteBpsDevice/0", "io.max", "8:0 wbps=max"),
            ("blockIO/throttleReadIOPSDevice/0", "io.max", "8:1 riops=3"),
            ("blockIO/throttleWriteIOPSDevice/0", "io.max", "8:2 wiops=4"),
        ],
    ),
    (
        {"hugepageLimits": [{"pageSize": "1GB", "limit": 7}]},
        [
            ("hugepageLimits/0", "hugetlb.1GB.max", "7"),
            ("hugepageLimits/0", "hugetlb.1GB.rsvd.max", "7"),
        ],
    ),
    ({"rdma": {"a": {"hcaHandles": 1}}}, [("rdma/a", "rdma.max", "a hca_handle=1")]),
    ({"network": {"classID": 0, "priorities": []}}, []),
    (
        {"unified": {"memory.high": "5", "io.max": "8:0 rbps=1\n8:1 rbps=2\n", "x.y": "z"}},
        [
            ("unified/memory.high", "memory.high", "5"),
            ("unified/io.max", "io.max", "8:0 rbps=1"),
            ("unified/io.max", "io.max", "8:1 rbps=2"),
            ("unified/x.y", "x.y", "z"),
        ],
    ),
]


@pytest.mark.parametrize(("resources", "expected"), TABLE)
def test_table(resources: dict[str, Any], expected: Writes) -> None:
    found = settings_v2(resources, [])
    prefix = "/linux/resources/"
    assert [(s.pointer.removeprefix(prefix), s.file, s.value) for s in found] == expected


def test_unified_comes_last_and_so_wins() -> None:
    found = settings_v2({"unified": {"cpu.weight": "7"}, "cpu": {"shares": 1024}}, [])
    assert [item.value for item in found] == ["100", "7"]


def test_weights_have_the_general_form_too() -> None:
    section = {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}]}
    found = settings_v2({"blockIO": section}, [])
    assert [(item.other_file, item.other_value) for item in found] == [
        ("io.weight", "default 910"),
        ("io.weight", "8:0 10000"),
    ]


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"cpu": {"realtimeRuntime": 5}}, "/cpu/realtimeRuntime"),
        ({"cpu": {"realtimePeriod": 5}}, "/cpu/realtimePeriod"),
        ({"memory": {"swappiness": 0}}, "/memory/swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "/memory/disableOOMKiller"),
        ({"memory": {"swap": 5}}, "/memory/swap"),
        ({"memory": {"limit": 10, "swap": 5}}, "/memory/swap"),
        ({"network": {"classID": 1}}, "/network/classID"),
        ({"network": {"priorities": [{"name": "a", "priority": 1}]}}, "/network/priorities"),
        ({"blockIO": {"leafWeight": 100}}, "/blockIO/leafWeight"),
        ({"unified": {"../memory.max": "1"}}, "/unified/../memory.max"),
        ({"unified": {"memory": "1"}}, "/unified/memory"),
        ({"unified": {"..": "1"}}, "/unified/.."),
    ],
)
def test_impossible_is_an_error(resources: dict[str, Any], pointer: str) -> None:
    with pytest.raises(PlanError) as caught:
        settings_v2(resources, [])
    assert caught.value.pointer == "/linux/resources" + pointer
    assert "; " in str(caught.value), "it names no cure"


def test_ignored_with_a_warning() -> None:
    warnings: list[str] = []
    assert settings_v2({"memory": {"kernel": 5, "kernelTCP": 5}}, warnings) == []
    assert len(warnings) == 2


def test_early() -> None:
    found = settings_v2({"cpu": {"cpus": "0", "shares": 5}}, [])
    assert [item.phase == EARLY for item in found] == [True, False]


@pytest.mark.parametrize(
    ("version", "limit"),
    [("1.0.0", -1), ("1.2.1", -1), ("1.3.0", 0), ("1.3.0-rc.1", 0), ("1.10.0", 0)],
)
def test_no_pids_at_all_is_of_a_version(version: str, limit: int) -> None:
    given: dict[str, Any] = {"pids": {"limit": 0}, "cpu": {"shares": 5}}
    wanted = {**given, "pids": {"limit": limit}}
    assert in_words_of(version, given) == wanted
    for other in ({}, {"pids": {}}, {"pids": {"limit": 7}}, {"pids": {"limit": -1}}):
        assert in_words_of(version, other) == other
        assert asked_of_update(other) == other
    assert asked_of_update(given) == {**given, "pids": {}}

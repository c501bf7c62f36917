"""Settings and annotations as properties of a systemd unit."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from ociruntime.cgroups.devices import rules_of
from ociruntime.cgroups.systemd.properties import INFINITY, annotated, devices, limits, mask, start
from ociruntime.cgroups.v1.resources import settings_v1
from ociruntime.cgroups.v2.resources import settings_v2
from ociruntime.errors import PlanError, StepError

MIB = 1 << 20

V2: dict[str, tuple[dict[str, Any], dict[str, object]]] = {
    "memory": (
        {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB}},
        {"MemoryMax": 64 * MIB, "MemorySwapMax": 32 * MIB, "MemoryLow": 32 * MIB},
    ),
    "unlimited": (
        {"memory": {"limit": -1}, "pids": {"limit": -1}},
        {"MemoryMax": INFINITY, "MemorySwapMax": INFINITY, "TasksMax": INFINITY},
    ),
    "weight": ({"cpu": {"shares": 1024}}, {"CPUWeight": 100}),
    "quota": (
        {"cpu": {"quota": 50_000, "period": 100_000}},
        {"CPUQuotaPerSecUSec": 500_000, "CPUQuotaPeriodUSec": 100_000},
    ),
    "quota between per cents": (
        {"cpu": {"quota": 33_333, "period": 100_000}},
        {"CPUQuotaPerSecUSec": 340_000, "CPUQuotaPeriodUSec": 100_000},
    ),
    "no quota": (
        {"cpu": {"quota": -1, "period": 50_000}},
        {"CPUQuotaPerSecUSec": INFINITY, "CPUQuotaPeriodUSec": 50_000},
    ),
    "idle": ({"cpu": {"idle": 1}}, {"CPUWeight": 0}),
    "not idle": ({"cpu": {"idle": 0}}, {}),
    "cpuset": (
        {"cpu": {"cpus": "0-1,9", "mems": "0"}},
        {"AllowedCPUs": b"\x03\x02", "AllowedMemoryNodes": b"\x01"},
    ),
    "cpuset in other forms": (
        {"cpu": {"cpus": "0-7:2/4 9", "mems": "All"}},
        {"AllowedCPUs": b"\x33\x02", "AllowedMemoryNodes": b""},
    ),
    "pids": ({"pids": {"limit": 20}}, {"TasksMax": 20}),
    "no pids": ({"pids": {"limit": 0}}, {"TasksMax": 1}),
    "io": (
        {"blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}},
        {"IOWeight": 1},
    ),
    "unified wins": (
        {
            "memory": {"limit": 64 * MIB},
            "unified": {"memory.max": "max", "memory.high": "4096", "cpu.max": "max 50000"},
        },
        {
            "MemoryMax": INFINITY,
            "MemoryHigh": 4096,
            "CPUQuotaPerSecUSec": INFINITY,
            "CPUQuotaPeriodUSec": 50_000,
        },
    ),
    "unknown to systemd": ({"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]}, {}),
}
V1: dict[str, tuple[dict[str, Any], dict[str, object]]] = {
    "memory": ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}, {"MemoryLimit": 64 * MIB}),
    "no memory limit": ({"memory": {"limit": -1}}, {"MemoryLimit": INFINITY}),
    "cpu": (
        {"cpu": {"shares": 512, "quota": 20_000, "cpus": "0"}},
        {
            "AllowedCPUs": b"\x01",
            "CPUShares": 512,
            "CPUQuotaPerSecUSec": 800_000,
            "CPUQuotaPeriodUSec": 25_000,
        },
    ),
    "pids": ({"pids": {"limit": 7}}, {"TasksMax": 7}),
    "io": ({"blockIO": {"weight": 500}}, {"BlockIOWeight": 500}),
}


@pytest.mark.parametrize("name", V2)
def test_v2(name: str) -> None:
    resources, expected = V2[name]
    found = limits(settings_v2(resources, []), "v2")
    assert {item: value for item, _, value in found} == expected


@pytest.mark.parametrize("name", V1)
def test_v1(name: str) -> None:
    resources, expected = V1[name]
    found = limits(settings_v1(resources, []), "v1", period=25_000)
    assert {item: value for item, _, value in found} == expected


def test_signatures_are_systemds() -> None:
    resources = {"cpu": {"cpus": "0", "quota": 1000, "shares": 2}, "memory": {"limit": 4096}}
    found = limits(settings_v2(resources, []), "v2")
    assert {signature for _, signature, _ in found} == {"ay", "t"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", b"\x01"),
        ("7", b"\x80"),
        ("8", b"\x00\x01"),
        ("0-8", b"\xff\x01"),
        ("1,3-4", b"\x1a"),
        ("\n", b""),
    ],
)
def test_mask(text: str, expected: bytes) -> None:
    assert mask(text) == ("ay", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64M", 64 * MIB), ("1k", 1024), ("2G", 2 << 30), ("max", INFINITY), ("7", 7)],
)
def test_bytes_as_the_kernel_takes_them(text: str, expected: int) -> None:
    found = limits(settings_v2({"unified": {"memory.max": text}}, []), "v2")
    assert found == [("MemoryMax", "t", expected)]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("memory.max", "lots"),
        ("memory.max", "M"),
        ("memory.low", "10%"),
        ("memory.max", "17E"),
        ("memory.max", str(1 << 64)),
        ("pids.max", "-5"),
        ("pids.max", "0x10"),
        ("cpu.weight", "much"),
        ("cpu.max", "x y"),
        ("cpu.max", "50000 0"),
        ("cpu.max", "50000 -1"),
        ("cpuset.cpus", "0-N"),
        ("cpuset.cpus", "0-1:3/2"),
        ("cpuset.cpus", "3-1"),
        ("cpuset.cpus", "0-99999999"),
    ],
)
def test_what_cannot_be_told(file: str, text: str) -> None:
    with pytest.raises(
        StepError, match=r"linux\.resources\.unified\..*: .*systemd; write"
    ) as caught:
        limits(settings_v2({"unified": {file: text}}, []), "v2")
    assert caught.value.number == errno.EINVAL
    assert f"({file} = {text})" in str(caught.value)


def test_only_scopes_are_delegated() -> None:
    scope = {name: value for name, _, value in start("v2", scope=True)}
    assert scope["Delegate"] is True
    assert scope["IOAccounting"] is True
    assert scope["DefaultDependencies"] is False
    assert "Delegate" not in {name for name, _, _ in start("v1", scope=False)}
    assert "BlockIOAccounting" in {name for name, _, _ in start("v1", scope=False)}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TimeoutStopUSec", "uint64 5000000", ("TimeoutStopUSec", "t", 5_000_000)),
        ("TimeoutStopUSec", "123", ("TimeoutStopUSec", "t", 123)),
        ("TimeoutStopSec", "1.5", ("TimeoutStopUSec", "t", 1_500_000)),
        ("TimeoutStopSec", "uint64 2", ("TimeoutStopUSec", "t", 2_000_000)),
        ("CollectMode", "'inactive-or-failed'", ("CollectMode", "s", "inactive-or-failed")),
        ("CollectMode", '"inactive"', ("CollectMode", "s", "inactive")),
        ("SendSIGHUP", "true", ("SendSIGHUP", "b", True)),
        ("KillSignal", "int32 15", ("KillSignal", "i", 15)),
        ("After", "['a.service', 'b.service']", ("After", "as", ["a.service", "b.service"])),
        ("After", "@as []", ("After", "as", [])),
        ("MemoryHigh", "uint64 4096", ("MemoryHigh", "t", 4096)),
        ("AllowedCPUs", "[byte 0x03, 0x01]", ("AllowedCPUs", "ay", b"\x03\x01")),
        ("ManagedOOMMemoryPressureLimit", "uint32 7", ("ManagedOOMMemoryPressureLimit", "u", 7)),
        (
            "IOReadBandwidthMax",
            "[('/dev/vda', uint64 5)]",
            ("IOReadBandwidthMax", "a(st)", [("/dev/vda", 5)]),
        ),
    ],
)
def test_annotations(name: str, text: str, expected: tuple[str, str, object]) -> None:
    assert annotated({f"org.systemd.property.{name}": text, "other": "x"}) == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TimeoutStopUSec", "'5'"),
        ("TimeoutStopUSec", "-1"),
        ("TimeoutStopUSec", "uint64 18446744073709551616"),
        ("TimeoutStopUSec", "true"),
        ("TimeoutStopSec", "soon"),
        ("TimeoutStopSec", ""),
        ("CollectMode", "inactive"),
        ("CollectMode", "__import__('os').getcwd()"),
        ("SendSIGHUP", "1"),
        ("AllowedCPUs", "[256]"),
        ("AllowedCPUs", "3"),
        ("IOReadBandwidthMax", "[('/dev/vda', -1)]"),
        ("After", "['a', 1]"),
        ("After", "((((" * 200),
    ],
)
def test_wrong_values(name: str, text: str) -> None:
    with pytest.raises(PlanError, match=rf"annotation org\.systemd\.property\.{name}") as caught:
        annotated({f"org.systemd.property.{name}": text})
    assert caught.value.pointer == f"/annotations/org.systemd.property.{name}"
    assert "; " in str(caught.value), "it names no cure"


@pytest.mark.parametrize("name", ["OnFailure", "Wants", "Slice", "DeviceAllow", "ExecStart", ""])
def test_properties_that_are_not_for_containers(name: str) -> None:
    with pytest.raises(PlanError, match="not for a container to set"):
        annotated({f"org.systemd.property.{name}": "'x'"})


DRIVERS = """Character devices:
  1 mem
  5 /dev/tty
136 pts

Block devices:
  8 sd
"""
DEFAULT_DEVICES = {
    ("block-*", "m"), ("char-*", "m"), ("/dev/char/1:3", "rwm"), ("/dev/char/1:5", "rwm"),
    ("/dev/char/1:7", "rwm"), ("/dev/char/1:8", "rwm"), ("/dev/char/1:9", "rwm"),
    ("/dev/char/5:0", "rwm"), ("/dev/char/5:2", "rwm"), ("/dev/char/10:200", "rwm"),
    ("char-pts", "rwm"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "more"),
    [
        ([], set()),
        ([{"allow": True, "type": "b", "major": 8, "access": "r"}], {("block-sd", "r")}),
        ([{"allow": True, "type": "c", "major": 10, "minor": 229}], {("/dev/char/10:229", "rwm")}),
        # No driver has the number, and systemd has no word for one minor number of all drivers.
        ([{"allow": True, "type": "b", "major": 9, "access": "r"}], set()),
        ([{"allow": True, "type": "c", "minor": 9, "access": "r"}], set()),
    ],
)
def test_devices(entries: list[dict[str, object]], more: set[tuple[str, str]]) -> None:
    policy, emptied, allowed = devices(rules_of(entries), DRIVERS)
    assert policy == ("DevicePolicy", "s", "strict")
    assert emptied == ("DeviceAllow", "a(ss)", [])
    assert allowed[:2] == ("DeviceAllow", "a(ss)")
    assert isinstance(allowed[2], list)
    assert set(allowed[2]) == DEFAULT_DEVICES | more


READABLE = {(f"/dev/char/1:{minor}", "rm") for minor in (3, 5, 7, 8, 9)}


@pytest.mark.parametrize(
    ("denied", "left"),
    [
        ({"type": "c", "major": 10, "minor": 229}, DEFAULT_DEVICES),
        (
            {"type": "c", "major": 1, "access": "w"},
            {entry for entry in DEFAULT_DEVICES if "/1:" not in entry[0]} | READABLE,
        ),
    ],
)
def test_everything_but(denied: dict[str, object], left: set[tuple[str, str]]) -> None:
    """More than can be said: the defaults, and of those no use that is denied."""
    _, _, allowed = devices(rules_of([{"allow": True}, {"allow": False, **denied}]), DRIVERS)
    assert isinstance(allowed[2], list)
    assert set(allowed[2]) == left


def test_every_device() -> None:
    everything = [("DevicePolicy", "s", "auto"), ("DeviceAllow", "a(ss)", [])]
    assert devices(rules_of([{"allow": True}]), DRIVERS) == everything

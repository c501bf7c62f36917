"""Values of the options of `update` and `events`."""

from __future__ import annotations

import pytest

from ociruntime.arguments import parse
from ociruntime.cli import update
from ociruntime.cli.events import seconds
from ociruntime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("-1", -1),
        ("1048576", 1 << 20),
        ("64M", 64 << 20),
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 mb", 64 << 20),
        ("1g", 1 << 30),
        ("1.5g", 3 << 29),
        ("10b", 10),
        ("2t", 2 << 40),
        ("1P", 1 << 50),
        ("0.5k", 512),
    ],
)
def test_bytes(text: str, count: int) -> None:
    assert update.byte_count("memory", text) == count


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "-2", "1.5.5g", "1.", ".5", "g", "1e3", "٣", "1_0"]
)
def test_no_bytes(text: str) -> None:
    with pytest.raises(UsageError, match=r"--memory .*: write bytes"):
        update.byte_count("memory", text)


def options(*words: str) -> dict[str, object]:
    parsed = parse(
        list(words), update.OPTIONS, update.ALIASES, stop_at_argument=False, command="update"
    )
    return update.wanted(parsed, pytest.fail)


def test_options_make_resources() -> None:
    assert options("--memory", "1k", "--memory-swap=-1", "--cpu-quota", "-1", "x") == {
        "memory": {"limit": 1024, "swap": -1},
        "cpu": {"quota": -1},
    }
    assert options("--cpuset-cpus", "0-1", "--pids-limit", "5") == {
        "cpu": {"cpus": "0-1"},
        "pids": {"limit": 5},
    }
    assert options("--l3-cache-schema", "L3:0=f") == {}


@pytest.mark.parametrize(
    "words",
    [
        ("--cpu-share", "-5"),
        ("--cpuset-cpus", "a"),
        ("--cpuset-mems", "x"),
        ("--cpu-quota", "900"),
        ("--blkio-weight", "5"),
        ("--memory", "9999999999999999999p"),
    ],
)
def test_options_obey_schema_and_rules(words: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=f"^update: {words[0]} {words[1]}: .*; "):
        options(*words)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("1.5h", 5400), ("1h0m1s", 3601), ("1000us", 0.001)],
)
def test_times(text: str, wanted: float) -> None:
    assert seconds(text) == pytest.approx(wanted)


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "-1s", "1..5s", "0s", "1ns", "5s5", "1 s"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="--interval"):
        seconds(text)

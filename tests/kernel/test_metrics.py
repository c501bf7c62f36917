"""Metrics, read by the reference parser of OpenMetrics."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime

parser = pytest.importorskip(
    "prometheus_client.openmetrics.parser", reason="`make test` installs it"
)
Made = Callable[..., Bundle]
PREFIX = "ociruntime_container"


def parsed(text: str) -> dict[str, Any]:
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    for family in families.values():
        assert family.documentation, family.name
        if family.unit:
            assert family.name.endswith(f"_{family.unit}")
    return families


def values(families: dict[str, Any], name: str, **labels: str) -> dict[str, float]:
    """By id."""
    return {
        sample.labels["id"]: sample.value
        for sample in families[f"{PREFIX}_{name}"].samples
        if labels.items() <= sample.labels.items()
    }


@pytest.fixture
def two(runtime: Runtime, bundle: Made) -> Iterator[tuple[str, str]]:
    """A running and a created container."""
    limits = {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
    made = bundle(["/bin/sleep", "100"], linux={"resources": limits})
    first = runtime.up(made)
    second = runtime.create(bundle(["/bin/sleep", "100"])).check().container
    yield first, second
    for name in (first, second):
        runtime.delete(name, "--force")


def test_all_containers_at_once(runtime: Runtime, two: tuple[str, str]) -> None:
    first, second = two
    families = parsed(runtime.call("metrics").check().stdout)
    state = f"{PREFIX}_state"
    assert values(families, "state", **{state: "running"}) == {first: 1, second: 0}
    assert values(families, "state", **{state: "created"}) == {first: 0, second: 1}
    assert values(families, "memory_limit_bytes") == {first: 64 << 20}
    assert values(families, "pids_limit") == {first: 20}
    assert values(families, "pids") == {first: 1, second: 1}
    assert values(families, "oom_kills") == {first: 0, second: 0}
    assert set(values(families, "cpu_usage_seconds")) == {first, second}
    assert values(families, "network_receive_bytes", device="lo") == {first: 0, second: 0}
    (sample,) = [
        each for each in families[PREFIX].samples if each.labels["id"] == first
    ]
    assert sample.labels["bundle"].startswith("/")
    usage = runtime.call("events", "--stats", first).json()["data"]["memory"]["usage"]["usage"]
    assert abs(values(families, "memory_usage_bytes")[first] - usage) < 1 << 20


def test_none_is_valid_too(runtime: Runtime) -> None:
    text = runtime.call("metrics").check().stdout
    assert text == "# EOF\n"
    assert parsed(text) == {}


def test_events_of_one(runtime: Runtime, two: tuple[str, str]) -> None:
    first, _ = two
    words = ("events", "--stats", "--format", "openmetrics", first)
    families = parsed(runtime.call(*words).check().stdout)
    assert set(values(families, "memory_usage_bytes")) == {first}
    refused = runtime.call("events", "--format", "xml", first)
    assert "use json or openmetrics" in refused.stderr
    assert json.loads(runtime.call("events", "--stats", first).check().stdout)["type"] == "stats"


def test_stopped_ones_have_a_state_only(runtime: Runtime, two: tuple[str, str]) -> None:
    first, second = two
    runtime.kill(first, "KILL").check()
    runtime.wait_for(first, "stopped")
    families = parsed(runtime.call("metrics").check().stdout)
    assert values(families, "state", **{f"{PREFIX}_state": "stopped"}) == {first: 1, second: 0}
    assert set(values(families, "pids")) == {second}


def test_odd_names_are_escaped(tmp_path: Path) -> None:
    from ociruntime.metrics.exposition import COUNTER, Family, exposition

    family = Family("x_y", COUNTER, "", 'a\nb\\c"')
    odd = 'q"\\\n\udcff{}='
    family.add(3, name=odd)
    family.add(0.1, name="")
    families = parsed(exposition([family]))
    assert [(sample.labels["name"], sample.value) for sample in families["x_y"].samples] == [
        ('q"\\\n\\udcff{}=', 3),
        ("", 0.1),
    ]


def test_a_device_with_a_separator_of_lines_in_its_name(runtime: Runtime, bundle: Made) -> None:
    """The kernel forbids white space in names, of ASCII: not all that Unicode calls one."""
    name = "a\x1cb\x85c"
    container = runtime.up(bundle(["/bin/sleep", "100"]))
    enter = ["nsenter", "-t", str(runtime.pid(container)), "-n"]
    subprocess.run([*enter, "ip", "link", "add", name, "type", "veth"], check=True)
    families = parsed(runtime.call("metrics").check().stdout)
    assert values(families, "network_receive_bytes", device=name) == {container: 0}

"""Where the container's cgroup is."""

from __future__ import annotations

import json

import pytest

from ociruntime.cgroups.detect import Hierarchy, Layout
from ociruntime.cgroups.path import UNKNOWN, Placement, place, split
from ociruntime.errors import PlanError
from tests.unit.cgroups.layouts import hybrid_layout, v1_layout, v2_layout

BASE = "/sys/fs/cgroup"


@pytest.mark.parametrize(
    ("path", "own", "expected"),
    [
        ("/x/y", "/me", f"{BASE}/memory/x/y"),
        ("//x/./y/", "/me", f"{BASE}/memory/x/y"),
        ("x/y", "/me", f"{BASE}/memory/me/x/y"),
        ("x", "/", f"{BASE}/memory/x"),
        (None, "/me", f"{BASE}/memory/me/ociruntime-c1"),
        ("", "/", f"{BASE}/memory/ociruntime-c1"),
        ("slice:docker:x", "/", f"{BASE}/memory/slice:docker:x"),
    ],
)
def test_v1(path: str | None, own: str, expected: str) -> None:
    placement = place(v1_layout(own=own), path, "c1")
    assert placement.paths["memory"] == expected
    assert placement.paths["name=systemd"] == expected.replace("/memory/", "/systemd/")


@pytest.mark.parametrize(
    ("path", "own", "expected"),
    [
        ("/x/y", "/a/own", f"{BASE}/x/y"),
        ("x/y", "/a/own", f"{BASE}/a/x/y"),
        ("x", "/own", f"{BASE}/x"),
        ("x", "/", f"{BASE}/x"),
        (None, "/a/b/own", f"{BASE}/a/b/ociruntime-c1"),
    ],
)
def test_v2_relative_paths_are_siblings_of_the_own_cgroup(
    path: str | None, own: str, expected: str
) -> None:
    assert place(v2_layout(own=own), path, "c1").paths == {"": expected}


def test_hybrid_has_the_unified_hierarchy_too() -> None:
    assert place(hybrid_layout(), "/x", "c1").paths[""] == f"{BASE}/unified/x"


@pytest.mark.parametrize("path", ["/..", "../x", "/a/../b", "a/.."])
def test_climbing_is_refused(path: str) -> None:
    with pytest.raises(PlanError, match=r"contains '\.\.'") as caught:
        place(v1_layout(), path, "c1")
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.mark.parametrize("path", ["/", "//", "/./", "."])
def test_the_root_is_refused(path: str) -> None:
    with pytest.raises(PlanError, match="root of the hierarchy"):
        place(v2_layout(), path, "c1")


def test_relative_needs_the_own_cgroup_in_sight() -> None:
    layout = Layout("v1", [Hierarchy("memory", ("memory",), f"{BASE}/memory", "/docker/x", "/y")])
    with pytest.raises(PlanError, match="is not in what /sys/fs/cgroup/memory shows"):
        place(layout, "x", "c1")
    assert place(layout, "/x", "c1").paths == {"memory": f"{BASE}/memory/x"}


def test_inside_a_container_paths_are_below_what_the_mount_shows() -> None:
    layout = Layout(
        "v1", [Hierarchy("memory", ("memory",), f"{BASE}/memory", "/docker/x", "/docker/x/me")]
    )
    assert place(layout, "y", "c1").paths == {"memory": f"{BASE}/memory/me/y"}


def test_a_host_without_cgroups() -> None:
    assert place(Layout("none", []), "/x", "c1").paths == {}


def test_same_arguments_same_answer() -> None:
    first, second = (place(hybrid_layout(), "a/b", "c1").as_dict() for _ in range(2))
    assert first == second


def test_state_round_trip() -> None:
    placement = place(hybrid_layout(own="/me"), "a/b", "c1")
    placement.places[0].existing = 1
    state = json.loads(json.dumps(placement.as_dict()))
    again = Placement.from_state(state)
    assert again.as_dict() == placement.as_dict()
    assert again.places[0].parts == ["me", "a", "b"]
    assert [item.existing for item in again.places[:2]] == [1, UNKNOWN]


@pytest.mark.parametrize(
    "change",
    [{"paths": []}, {"paths": {"memory": "/etc"}}, {"mountpoints": None}, {"existing": 3}],
)
def test_a_broken_state_is_not_believed(change: dict[str, object]) -> None:
    state = {**place(v1_layout(), "/x", "c1").as_dict(), **change}
    with pytest.raises((KeyError, TypeError)):
        Placement.from_state(state)


def test_split() -> None:
    assert split("a//b/./c/", "/p") == ["a", "b", "c"]

"""cgroupsPath as slice:prefix:name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.path import Placement
from ociruntime.cgroups.systemd.group import open_unit
from ociruntime.cgroups.systemd.owner import whose_systemd
from ociruntime.cgroups.systemd.path import expand, place_unit
from ociruntime.errors import PlanError
from ociruntime.kernel.kernel import Kernel
from tests.unit.cgroups.layouts import hybrid_layout, v1_layout, v2_layout

if TYPE_CHECKING:
    from ociruntime.cgroups.detect import Layout

SCOPE = "/system.slice/p-n.scope"


@pytest.mark.parametrize(
    ("path", "directory"),
    [
        ("system.slice:docker:abc", "system.slice/docker-abc.scope"),
        ("machine-web.slice:libpod:x", "machine.slice/machine-web.slice/libpod-x.scope"),
        (":p:n", "system.slice/p-n.scope"),
        ("a.slice::n", "a.slice/n.scope"),
        ("-.slice:p:n", "p-n.scope"),
        ("system.slice:p:b-c.slice", "b.slice/b-c.slice"),
        (None, "system.slice/ociruntime-c1.scope"),
        ("", "system.slice/ociruntime-c1.scope"),
    ],
)
def test_places(path: str | None, directory: str) -> None:
    placement = place_unit(v2_layout(), path, "c1", user=False)
    (place,) = placement.places
    assert place.directory == f"{place.mountpoint}/{directory}"
    assert placement.unit is not None
    assert placement.unit.name == directory.rpartition("/")[2]


def test_every_hierarchy_has_the_same_path() -> None:
    for layout in (v1_layout(), hybrid_layout()):
        placement = place_unit(layout, "a.slice:p:n", "c1", user=False)
        assert len(placement.places) == len(layout.hierarchies)
        assert {tuple(place.parts) for place in placement.places} == {("a.slice", "p-n.scope")}


def test_a_user_has_a_slice_of_his_own() -> None:
    unit = place_unit(v2_layout(), None, "c1", user=True).unit
    assert unit is not None
    assert (unit.user, unit.slice) == (True, "user.slice")


def test_a_users_systemd_limits_nothing_on_v1() -> None:
    with pytest.raises(PlanError, match="cgroup v1"):
        place_unit(v1_layout(), None, "c1", user=True)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a/b", 'of format "slice:prefix:name"'),
        ("a:b", 'of format "slice:prefix:name"'),
        ("a.slice:b:", 'of format "slice:prefix:name"'),
        ("a.slice:b:c:d", 'of format "slice:prefix:name"'),
        ("a:b:c", "not the name of a slice"),
        ("a--b.slice:b:c", "not the name of a slice"),
        (".slice:b:c", "not the name of a slice"),
        ("-a.slice:b:c", "not the name of a slice"),
        ("a/b.slice:b:c", "name of a systemd unit"),
        ("a.slice:b:c d", "name of a systemd unit"),
        ("a.slice:b:../c", "name of a systemd unit"),
        ("a.slice:b:" + "c" * 300, "name of a systemd unit"),
    ],
)
def test_paths_that_name_no_unit(path: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        place_unit(v2_layout(), path, "c1", user=False)
    assert caught.value.pointer == "/linux/cgroupsPath"
    assert "; " in str(caught.value), "it names no cure"


def test_expand() -> None:
    assert expand("a-b-c.slice") == ["a.slice", "a-b.slice", "a-b-c.slice"]


def test_state_keeps_the_unit() -> None:
    placement = place_unit(v2_layout(), "a.slice:p:n", "c1", user=True)
    assert placement.unit is not None
    placement.unit.description = "who made it"
    placement.unit.started = True
    again = Placement.from_state(placement.as_dict())
    assert again.unit is not None
    assert again.as_dict() == placement.as_dict()
    assert again.unit.started


@pytest.mark.parametrize(
    ("layout", "lines", "found"),
    [
        # A named hierarchy that somebody has mounted for a container: systemd does not look at it.
        (v2_layout, "3:name=systemd:/\n0::/system.slice/p-n.scope\n", SCOPE),
        (hybrid_layout, "3:name=systemd:/system.slice/p-n.scope\n0::/a\n", SCOPE),
        (v1_layout, "3:name=systemd:/system.slice/p-n.scope\n", SCOPE),
    ],
)
def test_by_which_hierarchy_systemd_tells(
    tmp_path: Path, layout: Callable[[], Layout], lines: str, found: str
) -> None:
    (tmp_path / "cgroup").write_text(lines)

    class Host(Kernel):
        def open(self, path: str, flags: int, mode: int = 0) -> int:
            assert path == "/proc/4711/cgroup"
            return super().open(str(tmp_path / "cgroup"), flags, mode)

    group = open_unit(Host(), place_unit(layout(), ":p:n", "c1", user=False))
    assert group._path_of(4711) == found


def test_whose_systemd() -> None:
    assert whose_systemd(1000) == "user"
    assert whose_systemd(0) in ("system", "user")

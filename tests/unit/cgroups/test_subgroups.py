"""Cgroups below the unit's and below the container's, which annotations ask for."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import Hierarchy, Layout
from ociruntime.cgroups.path import Placement, place
from ociruntime.errors import PlanError, StepError
from ociruntime.plan.annotations import DELEGATED, SUBGROUP, delegated_of, subgroup_of
from ociruntime.process.run import Run
from ociruntime.steps.delegation import DelegateCgroup, EnterDelegated
from tests.unit.cgroups.fake import FakeCgroups
from tests.unit.cgroups.layouts import hybrid_layout, v1_layout, v2_layout

UID = 4711


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("/", []), ("a", ["a"]), ("/a/", ["a"]), ("a/./b//c", ["a", "b", "c"])],
)
def test_names(text: str, names: list[str]) -> None:
    assert subgroup_of({SUBGROUP: text}) == delegated_of({DELEGATED: text}, v2_layout()) == names
    assert subgroup_of({}) == delegated_of({}, v2_layout()) == []


def test_none_that_leads_out() -> None:
    for name, found in (
        (SUBGROUP, lambda: subgroup_of({SUBGROUP: "a/../.."})),
        (DELEGATED, lambda: delegated_of({DELEGATED: "../a"}, v2_layout())),
    ):
        with pytest.raises(PlanError, match="'\\.\\.'") as caught:
            found()
        assert caught.value.pointer == f"/annotations/{name}"


@pytest.mark.parametrize("layout", [v1_layout, hybrid_layout, lambda: Layout("disabled", [])])
def test_delegated_needs_v2(layout: Callable[[], Layout]) -> None:
    assert delegated_of({DELEGATED: "/"}, layout()) == []
    with pytest.raises(PlanError, match="only on cgroup v2"):
        delegated_of({DELEGATED: "own"}, layout())


def test_state_keeps_it() -> None:
    placement = place(v2_layout(), "/x", "c1")
    assert "delegated" not in placement.as_dict()
    placement.delegated = ["own", "deep"]
    state = json.loads(json.dumps(placement.as_dict()))
    assert Placement.from_state(state).delegated == ["own", "deep"]
    with pytest.raises(TypeError):
        Placement.from_state({**state, "delegated": "own"})


class Owners(FakeCgroups):
    """Notes who would own what; no root is needed."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, ("unified",))
        self.given: list[str] = []

    def fchownat(self, directory: int, name: str, uid: int, gid: int) -> None:
        assert (uid, gid) == (UID, -1)
        if ("chown", None) in self.refuse:
            raise OSError(self.refuse["chown", None], "refused")
        self.stat(directory, name)
        self.given.append(str((self.path(directory) / name).relative_to(self.base / "unified")))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Owners, Run, Path]:
    """A container's cgroup with two processes, of which a run knows."""
    base = tmp_path / "fs"
    base.mkdir()
    kernel = Owners(base)
    layout = Layout("v2", [Hierarchy("", ("memory",), str(base / "unified"), "/", "/")])
    run = Run(kernel, [])
    run.cgroup = open_group(kernel, place(layout, "/leaf", "c1"))
    run.cgroup.create()
    own = base / "unified/leaf"
    (own / "cgroup.procs").write_text("77\n78\n")
    kernel.writes.clear()
    return kernel, run, own


def owner(tmp_path: Path, *, tolerant: bool = False) -> DelegateCgroup:
    listed = tmp_path / "delegate"
    listed.write_text("cgroup.procs\n")
    return DelegateCgroup(UID, tolerant=tolerant, delegate=str(listed))


def test_processes_first(made: tuple[Owners, Run, Path], tmp_path: Path) -> None:
    """Moved before any controller is handed down, which a cgroup with processes cannot."""
    kernel, run, own = made
    EnterDelegated(["own", "deep"], owner(tmp_path)).execute(run)
    assert [item[1:] for item in kernel.writes] == [
        ("cgroup.procs", "77"),
        ("cgroup.procs", "78"),
        ("cgroup.subtree_control", "+cpu +memory"),
        ("cgroup.subtree_control", "+cpu +memory"),
    ]
    assert (own / "own/deep/cgroup.procs").read_text() == "78\n"
    assert (own / "own/cgroup.subtree_control").read_text() == "+cpu +memory\n"
    assert (own / "own/deep/cgroup.subtree_control").read_text() == ""
    assert kernel.given == [
        "leaf/own/cgroup.procs", "leaf/own", "leaf/own/deep/cgroup.procs", "leaf/own/deep",
    ]  # fmt: skip


def test_it_is_there_already(made: tuple[Owners, Run, Path]) -> None:
    """CRIU may have made it."""
    kernel, run, own = made
    (own / "own").mkdir()
    kernel.populate(own / "own")
    EnterDelegated(["own"], None).execute(run)
    assert (own / "own/cgroup.procs").read_text() == "78\n"
    assert kernel.given == []


def test_a_process_that_has_ended(made: tuple[Owners, Run, Path]) -> None:
    kernel, run, own = made
    kernel.refuse["cgroup.procs", "77"] = errno.ESRCH
    EnterDelegated(["own"], None).execute(run)
    assert (own / "own/cgroup.procs").read_text() == "78\n"


def test_refusals_name_the_cgroup(made: tuple[Owners, Run, Path]) -> None:
    kernel, run, own = made
    kernel.refuse["cgroup.procs", None] = errno.EACCES
    with pytest.raises(StepError, match=f"{own}/own .cgroup.procs.*must be able to write"):
        EnterDelegated(["own"], None).execute(run)
    (own / "file").write_text("")
    with pytest.raises(StepError, match=f"{DELEGATED}: cgroup {own}/file: .*a file has this name"):
        EnterDelegated(["file"], None).execute(run)


@pytest.mark.parametrize("tolerant", [True, False])
def test_an_owner_that_cannot_be(
    made: tuple[Owners, Run, Path], tmp_path: Path, tolerant: bool
) -> None:
    """For a caller without privileges it is a warning, as for the container's own cgroup."""
    kernel, run, own = made
    kernel.refuse["chown", None] = errno.EPERM
    step = EnterDelegated(["own"], owner(tmp_path, tolerant=tolerant))
    if not tolerant:
        with pytest.raises(PermissionError):
            step.execute(run)
        return
    step.execute(run)
    assert [str(own / "own") in text for text in run.warnings] == [True]

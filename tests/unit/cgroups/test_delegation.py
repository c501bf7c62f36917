"""Which files of the container's cgroup get another owner, whatever the kernel lists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ociruntime.cgroups.detect import Hierarchy, Layout
from ociruntime.cgroups.path import place
from ociruntime.plan.cgroup import cgroup_steps
from ociruntime.process.run import Run
from ociruntime.steps.delegation import DelegateCgroup
from tests.unit.cgroups.fake import FakeCgroups

UID = 4711


class Owners(FakeCgroups):
    """Notes who would own what; no root is needed."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, ("unified",))
        self.given: list[str] = []

    def fchownat(self, directory: int, name: str, uid: int, gid: int) -> None:
        assert (uid, gid) == (UID, -1)
        self.stat(directory, name)  # what is not there cannot be given away
        self.given.append(name)


@pytest.mark.parametrize(
    ("listed", "given"),
    [
        # A kernel without the list: the three of the specification, as far as they are there.
        (None, ["cgroup.procs", "cgroup.subtree_control"]),
        # What this cgroup does not have is no failure.
        ("cgroup.procs\nmemory.nosuch\n", ["cgroup.procs"]),
        ("memory.max\ncgroup.procs\n", ["memory.max", "cgroup.procs"]),
    ],
)
def test_old_kernels_and_missing_files(
    tmp_path: Path, listed: str | None, given: list[str]
) -> None:
    base, delegate = tmp_path / "fs", tmp_path / "delegate"
    base.mkdir()
    if listed is not None:
        delegate.write_text(listed)
    kernel = Owners(base)
    layout = Layout("v2", [Hierarchy("", ("memory",), str(base / "unified"), "/", "/")])
    run = Run(kernel, [])
    placement = place(layout, "/leaf", "c1")
    config = {"ociVersion": "1.3.0"}
    steps = cgroup_steps(config, placement, layout, rootless=False, warnings=[])
    for step in steps["prepare"]:
        step.execute(run)
    DelegateCgroup(UID, tolerant=False, delegate=str(delegate)).execute(run)
    assert kernel.given == [*given, ""]
    assert run.warnings == []


@pytest.mark.parametrize("there", [True, False])
def test_only_a_cgroup_that_was_there_gets_its_owner_back(tmp_path: Path, *, there: bool) -> None:
    class Chown(FakeCgroups):
        def fchownat(self, directory: int, name: str, uid: int, gid: int) -> None:
            given.append((name, uid))

    given: list[tuple[str, int]] = []
    base, delegate = tmp_path / "fs", tmp_path / "delegate"
    base.mkdir()
    delegate.write_text("cgroup.procs\n")
    kernel = Chown(base, ("unified",))
    if there:
        kernel.mkdirat(kernel.open(str(base / "unified"), 0), "leaf", 0o755)
    layout = Layout("v2", [Hierarchy("", ("memory",), str(base / "unified"), "/", "/")])
    run = Run(kernel, [])
    steps = cgroup_steps(
        {"ociVersion": "1.3.0"}, place(layout, "/leaf", "c1"), layout, rootless=False, warnings=[]
    )
    for step in steps["prepare"]:
        step.execute(run)
    delegation = DelegateCgroup(UID, tolerant=False, delegate=str(delegate))
    delegation.execute(run)
    assert given == [("cgroup.procs", UID), ("", UID)]
    given.clear()
    delegation.undo(run)
    assert given == ([("", os.getuid()), ("cgroup.procs", os.getuid())] if there else [])

"""exec in cgroups below the container's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ociruntime.cgroups.inner import choose
from ociruntime.cgroups.path import Placement, place
from ociruntime.errors import OciError, StepError
from ociruntime.process.run import Run
from ociruntime.steps.cgroup import OpenCgroup
from tests.unit.cgroups.fake import FakeCgroups
from tests.unit.cgroups.layouts import hybrid_layout, v2_layout

OWN = "/a/c1"


def directories(wishes: list[str]) -> dict[str, str]:
    chosen = choose(place(hybrid_layout("/cg"), OWN, "c1"), wishes)
    return {key: path.removeprefix("/cg/") for key, path in chosen.paths.items()}


def test_every_hierarchy() -> None:
    paths = directories(["/x//y"])
    assert set(paths.values()) == {f"{path.split('/')[0]}/a/c1/x/y" for path in paths.values()}
    assert directories(["/"]) == directories([])


def test_some_controllers() -> None:
    paths = directories(["memory,pids:x", "systemd:y"])
    assert paths["memory"] == "memory/a/c1/x"
    assert paths["pids"] == "pids/a/c1/x"
    assert paths["name=systemd"] == "systemd/a/c1/y"
    assert paths["cpu"] == "cpu/a/c1"
    assert paths[""] == "unified/a/c1"


@pytest.mark.parametrize(
    ("wish", "words"),
    [("../b", r"'\.\.'"), ("cpu:x/../..", r"'\.\.'"), ("cpus:x", "there are: memory, cpu,"),
     (":x", "no cgroup of ''")],
)  # fmt: skip
def test_refused(wish: str, words: str) -> None:
    with pytest.raises(OciError, match=words):
        directories([wish])


def test_v2_has_no_names() -> None:
    placement = place(v2_layout("/cg"), OWN, "c1")
    assert choose(placement, ["x"]).paths == {"": "/cg/a/c1/x"}
    with pytest.raises(OciError, match="leave the controller out"):
        choose(placement, ["memory:x"])


def opened(fake: FakeCgroups, init_path: str, control: str) -> Path:
    """Where exec goes on v2 when init is in ``init_path`` and the container's own cgroup has
    ``control`` as its subtree_control.
    """
    base = fake.base / "unified"
    for path in ("a", "a/c1", "a/c1/init", "b"):
        (base / path).mkdir()
        fake.populate(base / path)
    (base / "a/c1/cgroup.subtree_control").write_text(control)
    (fake.base / "proc").write_text(f"0::{init_path}\n")
    real = fake.open
    fake.open = lambda path, flags, mode=0: real(  # type: ignore[method-assign]
        str(fake.base / "proc") if path == "/proc/77/cgroup" else path, flags, mode
    )
    run = Run(fake, [])
    OpenCgroup(place(v2_layout(str(base)), OWN, "c1"), 77, user=False).execute(run)
    assert run.cgroup is not None
    return fake.path(run.cgroup.open_for_clone()).relative_to(base)


def test_own_cgroup(fake: FakeCgroups) -> None:
    assert str(opened(fake, "/a/c1/init", "")) == "a/c1"


def test_follows_init_where_processes_are_forbidden(fake: FakeCgroups) -> None:
    """docker in docker: its entry point moves all to a cgroup below, and hands controllers out."""
    assert str(opened(fake, "/a/c1/init", "memory\n")) == "a/c1/init"


def test_never_follows_init_out_of_the_container(fake: FakeCgroups) -> None:
    assert str(opened(fake, "/b", "memory\n")) == "a/c1"


def test_missing(fake: FakeCgroups) -> None:
    placement = Placement("v2", place(v2_layout(str(fake.base / "unified")), OWN, "c1").places)
    with pytest.raises(StepError, match=r"a/c1: ENOENT: there is no such cgroup.*\(no such file"):
        OpenCgroup(placement, 1, user=False, chosen=True).execute(Run(fake, []))

"""linux.intelRdt on a directory that plays resctrl (config-linux.md, "Intel RDT")."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError, PlanError
from ociruntime.lifecycle.delete import destroy
from ociruntime.plan.rdt import rdt_steps, schema_lines
from ociruntime.process.run import Run
from ociruntime.state.store import Store
from ociruntime.steps.rdt import (
    JoinRdtClass,
    MakeRdtClass,
    find_resctrl,
    parse_schemata,
)
from tests.support.model.recorder import Recorder

ID = "box"
PID = 4711


@pytest.fixture
def resctrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root class; new directories get the kernel's files, removed ones lose them."""
    root = tmp_path / "resctrl"
    (root / "info").mkdir(parents=True)
    (root / "mon_groups").mkdir()
    fill(root)
    make, remove = os.mkdir, os.rmdir

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, mode, dir_fd=dir_fd)
        if str(path).startswith(str(root)):
            fill(Path(path))
            if Path(path).parent == root:
                make(Path(path) / "mon_groups")

    def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
        if str(path).startswith(str(root)):
            if not os.path.isdir(path):
                raise FileNotFoundError(path)
            shutil.rmtree(path)
        else:
            remove(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    # shutil.rmtree removes the fake's files with the real rmdir(2).
    monkeypatch.setattr(shutil, "rmtree", _removed)
    monkeypatch.setattr("ociruntime.steps.rdt.os.rmdir", rmdir)
    return root


def _removed(path: Any) -> None:
    Path(path).rename(Path(path).parent.parent / f"removed-{Path(path).name}")


def fill(directory: Path) -> None:
    (directory / "tasks").touch()
    (directory / "schemata").touch()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(Recorder(), [])
    made.container = Store(str(tmp_path / "state")).claim(ID)
    made.pid = PID
    return made


def create(run: Run, root: Path, wanted: dict[str, Any]) -> MakeRdtClass:
    make, _ = rdt_steps({"intelRdt": wanted}, ID)
    step = make[0]
    assert isinstance(step, MakeRdtClass)
    step.root = str(root)
    step.execute(run)
    JoinRdtClass().execute(run)
    return step


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def saved(run: Run) -> dict[str, Any]:
    assert run.container is not None
    found: dict[str, Any] = run.container.data["rdt"]
    return found


def test_without_closid_the_class_is_the_containers(run: Run, resctrl: Path) -> None:
    create(run, resctrl, {"l3CacheSchema": "L3:0=f"})
    assert lines(resctrl / ID / "schemata") == ["L3:0=f"]
    assert lines(resctrl / ID / "tasks") == [str(PID)]
    assert saved(run)["remove"] == [str(resctrl / ID)]


def test_empty(run: Run, resctrl: Path) -> None:
    """No property at all still means a class of its own."""
    create(run, resctrl, {})
    assert lines(resctrl / ID / "tasks") == [str(PID)]


def test_order_of_writing() -> None:
    """l3CacheSchema, memBwSchema, and schemata last."""
    wanted = {
        "schemata": ["L2:0=1", "MB:0=30"],
        "memBwSchema": "MB:0=20",
        "l3CacheSchema": "L3:0=f",
    }
    assert schema_lines(wanted) == ["L3:0=f", "MB:0=20", "L2:0=1", "MB:0=30"]


def test_bandwidth_in_the_cache_schema() -> None:
    assert schema_lines({"l3CacheSchema": "MB:0=5", "memBwSchema": "MB:0=20"}) == ["MB:0=20"]
    assert schema_lines({"l3CacheSchema": "MB:0=5"}) == ["MB:0=5"]
    both = {"l3CacheSchema": "L3:0=f\nMB:0=5\nL3:1=1", "memBwSchema": "MB:0=20"}
    assert schema_lines(both) == ["L3:0=f\nL3:1=1", "MB:0=20"]


def test_closid_alone_must_exist(run: Run, resctrl: Path) -> None:
    with pytest.raises(OciError, match=r"intelRdt gold: there is no class .*gold; make it"):
        create(run, resctrl, {"closID": "gold"})
    assert not (resctrl / "gold").exists()
    os.mkdir(resctrl / "gold")
    create(run, resctrl, {"closID": "gold"})
    assert lines(resctrl / "gold" / "tasks") == [str(PID)]
    assert saved(run)["remove"] == []


def test_closid_with_schema_is_made_and_stays(run: Run, resctrl: Path) -> None:
    create(run, resctrl, {"closID": "gold", "schemata": ["L3:0=ff"]})
    assert lines(resctrl / "gold" / "schemata") == ["L3:0=ff"]
    assert run.container is not None
    run.container.data["status"] = "stopped"
    assert destroy(run.container) == []
    assert (resctrl / "gold").is_dir()


@pytest.mark.parametrize("line", ["L3:0=00ff;1=F0", "L3:1=f0", " MB:0=50"])
def test_existing_class_with_the_same_schema(run: Run, resctrl: Path, line: str) -> None:
    os.mkdir(resctrl / "gold")
    (resctrl / "gold" / "schemata").write_text("    L3:0=0ff;1=0f0\n    MB:0= 50;1=100\n")
    create(run, resctrl, {"closID": "gold", "schemata": [line]})
    assert lines(resctrl / "gold" / "schemata")[0] == "    L3:0=0ff;1=0f0"


@pytest.mark.parametrize("line", ["L3:0=fe", "L3:2=ff", "L2:0=ff", "MB:0=5"])
def test_existing_class_with_another_schema(run: Run, resctrl: Path, line: str) -> None:
    os.mkdir(resctrl / "gold")
    (resctrl / "gold" / "schemata").write_text("L3:0=ff;1=f0\nMB:0=50\n")
    with pytest.raises(OciError, match="the class exists with"):
        create(run, resctrl, {"closID": "gold", "l3CacheSchema": line})
    assert lines(resctrl / "gold" / "schemata") == ["L3:0=ff;1=f0", "MB:0=50"]


def test_root_class(run: Run, resctrl: Path) -> None:
    create(run, resctrl, {"closID": "/", "enableMonitoring": True})
    assert lines(resctrl / "tasks") == [str(PID)]
    assert lines(resctrl / "mon_groups" / ID / "tasks") == [str(PID)]
    assert saved(run)["remove"] == [str(resctrl / "mon_groups" / ID)]


def test_monitoring_is_removed_by_delete(run: Run, resctrl: Path) -> None:
    create(run, resctrl, {"enableMonitoring": True})
    group = resctrl / ID / "mon_groups" / ID
    assert lines(group / "tasks") == [str(PID)]
    assert run.container is not None
    assert destroy(run.container) == []
    assert not (resctrl / ID).exists()


def test_monitoring_that_fails_is_an_error(run: Run, resctrl: Path) -> None:
    os.rmdir(resctrl / "mon_groups")
    with pytest.raises(OSError, match="No such file"):
        create(run, resctrl, {"closID": "/", "enableMonitoring": True})


def test_foreign_class_of_our_name(run: Run, resctrl: Path) -> None:
    os.mkdir(resctrl / ID)
    with pytest.raises(OciError, match="exists and is not ours"):
        create(run, resctrl, {})
    assert (resctrl / ID).is_dir()


def test_undo_removes_what_was_made(run: Run, resctrl: Path) -> None:
    """Also a class with closID, which delete would leave."""
    step = create(
        run, resctrl, {"closID": "gold", "schemata": ["L3:0=1"], "enableMonitoring": True}
    )
    step.undo(run)
    assert not (resctrl / "gold").exists()
    assert run.warnings == []


def test_undo_leaves_what_was_there(run: Run, resctrl: Path) -> None:
    os.mkdir(resctrl / "gold")
    create(run, resctrl, {"closID": "gold"}).undo(run)
    assert (resctrl / "gold").is_dir()


def test_half_made_container(run: Run, resctrl: Path) -> None:
    """Its maker was killed: delete removes the class that was made for it."""
    create(run, resctrl, {"closID": "gold", "schemata": ["L3:0=1"]})
    assert run.container is not None
    run.container.data["status"] = "creating"
    destroy(run.container)
    assert not (resctrl / "gold").exists()


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/a"])
def test_closid_is_a_name(name: str) -> None:
    with pytest.raises(PlanError, match="closID"):
        rdt_steps({"intelRdt": {"closID": name}}, ID)


def test_absent() -> None:
    assert rdt_steps({}, ID) == ([], [])


def test_where_resctrl_is() -> None:
    text = (
        "24 1 0:22 / /sys rw - sysfs sysfs rw\n"
        "99 24 0:50 / /sys/fs/res\\040ctrl rw - resctrl resctrl rw\n"
    )
    assert find_resctrl(text) == "/sys/fs/res ctrl"
    assert find_resctrl(text.splitlines()[0]) == ""


def test_parse_schemata() -> None:
    assert parse_schemata("   L3CODE:0=0Ff;1= 000\nnonsense\n") == {"L3CODE": {"0": "ff", "1": "0"}}

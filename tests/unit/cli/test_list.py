"""`list`: every container once, whatever state its state is in."""

from __future__ import annotations

import json
import os
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest

from ociruntime.cli.list import table, user_name
from ociruntime.state.store import Store
from tests.support.descriptors import open_descriptors

from .caller import call


def stopped(root: Path, container_id: str, **changes: Any) -> None:
    """A container whose process has ended."""
    container = Store(str(root)).claim(container_id)
    container.data = {
        "ociVersion": "1.3.0",
        "status": "created",
        "pid": 4194304,
        "start_time": 1,
        "bundle": f"/bundles/{container_id}",
        "rootfs": f"/bundles/{container_id}/rootfs",
        "created": "2026-01-02T03:04:05.000000006Z",
        "owner": "0",
        **changes,
    }
    container.save()
    container.close()


def test_empty(tmp_path: Path) -> None:
    """An array that is empty is no null."""
    assert call(tmp_path, "list", "--format", "json").stdout == "[]\n"
    assert call(tmp_path, "list", "-q").stdout == ""
    titles = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert call(tmp_path, "list").stdout.split() == titles


def test_a_root_that_was_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who mistypes --root would take "none" for an answer; the default's absence is none."""
    absent = tmp_path / "absent"
    for words in ([], ["--quiet"], ["--format", "json"]):
        done = call(absent, "list", *words)
        assert (done.status, done.stdout) == (1, "")
        assert f"--root {absent}: no such directory" in done.stderr
    monkeypatch.setattr("ociruntime.cli.main.default_root", lambda: str(absent))
    assert call(None, "list", "-q").status == 0
    assert not absent.exists()


def test_json(tmp_path: Path) -> None:
    stopped(tmp_path, "b", annotations={"k": "v"}, owner="4294967294")
    stopped(tmp_path, "a")
    assert call(tmp_path, "list", "-f", "json").json() == [
        {
            "ociVersion": "1.3.0",
            "id": "a",
            "pid": 0,
            "status": "stopped",
            "bundle": "/bundles/a",
            "rootfs": "/bundles/a/rootfs",
            "created": "2026-01-02T03:04:05.000000006Z",
            "owner": "root",
        },
        {
            "ociVersion": "1.3.0",
            "id": "b",
            "pid": 0,
            "status": "stopped",
            "bundle": "/bundles/b",
            "rootfs": "/bundles/b/rootfs",
            "created": "2026-01-02T03:04:05.000000006Z",
            "annotations": {"k": "v"},
            "owner": "#4294967294",
        },
    ]


def test_quiet_and_table(tmp_path: Path) -> None:
    stopped(tmp_path, "one")
    stopped(tmp_path, "another")
    assert call(tmp_path, "list", "--quiet").stdout == "another\none\n"
    lines = call(tmp_path, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "another", "one"]
    assert (
        len({line.index(word) for line, word in zip(lines, ("PID", "0 ", "0 "), strict=True)}) == 1
    )
    assert lines[2].split() == [
        "one", "0", "stopped", "/bundles/one", "2026-01-02T03:04:05.000000006Z", "root",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        "", "{", "[]", "{}", '{"status": "created"}', '{"status": "creating", "maker": 3}',
        '{"status": "created", "pid": "x", "start_time": []}',
        '{"status": "created", "pid": 1, "start_time": 1, "annotations": "\\u0000"}',
    ],
)  # fmt: skip
def test_damaged_state(tmp_path: Path, damage: str) -> None:
    """It is told and named, and hides no other container."""
    for name in ("a", "b", "c"):
        stopped(tmp_path, name)
    (tmp_path / "b" / "state.json").write_text(damage)
    outcome = call(tmp_path, "list", "-f", "json")
    assert [entry["id"] for entry in outcome.json()] == ["a", "c"]
    assert outcome.stderr.startswith("ociruntime: warning: container b: ")
    assert "delete --force b" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_creation_cut_short(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    (tmp_path / "half").mkdir()
    outcome = call(tmp_path, "list", "-q")
    assert outcome.stdout == "a\n"
    assert "half: its creation was cut short" in outcome.stderr


def test_under_construction_or_going(tmp_path: Path) -> None:
    """A directory without a state that somebody works on is nobody's container, and no fault."""
    (tmp_path / "half").mkdir()
    fd = os.open(tmp_path / "half", os.O_RDONLY)
    flock(fd, LOCK_EX)
    outcome = call(tmp_path, "list", "-f", "json")
    os.close(fd)
    assert (outcome.stdout, outcome.stderr) == ("[]\n", "")


def test_vanishes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path, "a")
    monkeypatch.setattr(Store, "ids", lambda self: ["a", "gone"])
    outcome = call(tmp_path, "list", "-q")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "a\n", "")


def test_strange_names_are_not_containers(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "with blank").mkdir()
    (tmp_path / "file").write_text("")
    outcome = call(tmp_path, "list", "-q")
    assert (outcome.stdout, outcome.stderr) == ("a\n", "")


def test_no_descriptor_is_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        stopped(tmp_path, name)
    before = open_descriptors()
    call(tmp_path, "list")
    assert open_descriptors() == before


def test_table_keeps_lines_together() -> None:
    document = {
        "id": "x", "pid": 1, "status": "running", "bundle": "/a\nb\x1b", "created": "", "owner": "",
    }  # fmt: skip
    assert table([document]).count("\n") == 2
    assert "\x1b" not in table([document])


def test_user_name() -> None:
    assert user_name("0") == "root"
    assert user_name("") == "#"
    assert user_name("99999999999999999999") == "#99999999999999999999"


@pytest.mark.parametrize("words", [["-f", "yaml"], ["x"], ["--nonsense"]])
def test_misuse(tmp_path: Path, words: list[str]) -> None:
    outcome = call(tmp_path, "list", *words)
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr.count("\n") == 1


def test_root_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = call(tmp_path / "file", "list")
    assert outcome.status == 1
    assert "--root" in outcome.stderr


def test_table_and_json_agree(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    document = json.loads(call(tmp_path, "list", "-f", "json").stdout)
    assert table(document) == call(tmp_path, "list").stdout


def test_damaged_state_is_removed_by_force_only(tmp_path: Path) -> None:
    stopped(tmp_path, "a")
    (tmp_path / "a" / "state.json").write_text("{")
    for verb in ("state", "delete", "start", "kill"):
        outcome = call(tmp_path, verb, "a")
        assert outcome.status == 1
        assert outcome.stderr.startswith("ociruntime: container a: damaged state: ")
    assert (tmp_path / "a").exists()
    assert call(tmp_path, "delete", "--force", "a").status == 0
    assert not (tmp_path / "a").exists()

"""What people see, kept as text files: faults of a file, errors, the table of `top`.

A line about a place in a file and an error are one line each, however wide the terminal is: editors
and engines read them. So their screens have no width.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ociruntime.cli.top import table
from ociruntime.library.usage import Stats
from ociruntime.spec.default import default_config
from ociruntime.top.sample import Row
from tests.support.screens import WIDTHS, check, check_lines

from .caller import call

BAD_WORDS = (
    (("mounts", 0, "options"), ["nosiud"]),
    (("process", "cwd"), "home"),
    (("process", "capabilities", "bounding", 0), "CAP_SYS_ADMN"),
    (("process", "rlimits", 0, "soft"), -5),
    (("linux", "namespaces", 0, "type"), "pidd"),
    (("linux", "rootfsPropagation"), "rsalve"),
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a good bundle and a bad one."""
    monkeypatch.chdir(tmp_path)
    for name in ("good", "bad"):
        config = default_config()
        (tmp_path / name / "rootfs").mkdir(parents=True)
        if name == "bad":
            config["hostnme"] = config.pop("hostname")
            for (*path, last), value in BAD_WORDS:
                place: object = config
                for part in path:
                    place = place[part]  # type: ignore[index]
                place[last] = value  # type: ignore[index]
        (tmp_path / name / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    return tmp_path


@pytest.mark.parametrize("columns", WIDTHS)
def test_validate(desk: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = call(None, "validate", "good", "bad")
    assert (done.status, done.stderr) == (1, "")
    check_lines("validate", done.stdout)


def test_errors(desk: Path) -> None:
    """Each is one line that names the thing and says the cure."""
    Path("broken").mkdir()
    Path("broken/config.json").write_text('{"ociVersion": "1.3.0",\n "root": {"path": "r",}}\n')
    shown = []
    for words in (
        "delet c1",
        "run --bundel good c1",
        "run --bundle nowhere c1",
        "run --bundle broken c1",
        "run --bundle bad c1",
        "run --bundle good ../c1",
        "run --bundle good",
        "state c1",
        "start c1",
        "exec c1 sh",
        "kill c1 TREM",
        "update --memory 12Q c1",
        "plan --of c1",
        "explain linux.resources.memory.swapp",
        "validate nowhere",
        "list --format yaml",
        "--root nowhere list",
        "events --interval soon c1",
        "trace nowhere",
        "image rebuild",
    ):
        root = None if words.startswith("--root") else desk / "state"
        done = call(root, *words.split())
        assert done.status == (255 if words.startswith("exec") else 1), words
        assert done.stdout == "", words
        text = done.stderr.replace(f"{desk}/", "").replace(str(desk), ".")
        assert text.count("\n") == 1, words
        shown.append(f"$ ociruntime {words}\n{text}")
    check_lines("errors", "\n".join(shown))
    assert not (desk / "state").exists() or not list((desk / "state").iterdir())


@pytest.mark.parametrize("width", WIDTHS)
def test_top(width: int) -> None:
    """A table of usual ids is no wider than the narrower terminal."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    pressure = {"cpu": 3.0, "memory": 0.0, "io": 12.4}
    busy = Stats(at, 12.5, 48 << 20, 64 << 20, 12, 100, 5 << 20, 1 << 30, 3, pressure, {})
    idle = Stats(at, 0.25, 300 << 10, None, 1, None, 0, 0, 0, {}, {})
    rows = [
        Row("web", "running", 87.25, 1536.0, 2 << 20, 10.0, stats=busy),
        Row("database", "paused", stats=idle),
        Row("0123456789ab", "stopped"),
    ]
    check("top", width, table(rows, width))

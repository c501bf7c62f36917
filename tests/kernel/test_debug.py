"""--debug: every step with its outcome and its time, on both sides; and what may not be seen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.screens import WIDTHS, check_lines

Made = Callable[..., Bundle]
LINE = re.compile(
    r"ociruntime: debug: (host|container): (.*?): (undo: )?(.*): (done in|failed after) ([\d.]+) ms"
    r"(: .*)?"
)
UID = 12345
# These steps are told in the host's words: its cgroup version and hierarchies; and what is no step,
# whether there is a start image.
OF_THE_HOST = re.compile(r"cgroup|limit-devices|start image")


def told(text: str) -> list[tuple[str, ...]]:
    """(side, name, undo, outcome) of every step in the log."""
    lines = (LINE.fullmatch(line) for line in text.splitlines())
    return [(found[1], found[2], found[3] or "", found[5]) for found in lines if found]


def test_every_step_of_create(runtime: Runtime, bundle: Made) -> None:
    made = bundle(["/bin/true"]).write()
    plan = runtime.call(
        "plan", "--format", "json", "--bundle", str(made.path), made.name
    ).json()["steps"]
    runtime.global_options = ("--debug",)
    result = runtime.call("run", "--bundle", str(made.path), made.name).check()
    found = told(result.stderr)
    assert sorted(entry[:2] for entry in found) == sorted(
        (step["side"], step["name"]) for step in plan
    )
    assert {entry[3] for entry in found} == {"done in"}
    sides = [entry[0] for entry in found]
    assert sides[0] == sides[-1] == "host"
    assert f"debug: {len(plan)} of {len(plan)} steps, " in result.stderr


def test_what_failed_and_what_was_taken_back(runtime: Runtime, bundle: Made) -> None:
    made = bundle(["/bin/true"])
    made.add_mount("/x", "tmpfs", "tmpfs", ["no-such-option=1"]).write()
    runtime.global_options = ("--debug",)
    result = runtime.call("create", "--bundle", str(made.path), made.name)
    assert result.status == 1
    found = told(result.stderr)
    failed = [entry for entry in found if entry[3] == "failed after"]
    assert [entry[:2] for entry in failed] == [
        ("container", f"mount /mounts/{len(made.config['mounts']) - 1}")
    ]
    assert "EINVAL" in result.stderr
    undone = [entry[1] for entry in found if entry[2]]
    assert "claim-state" in undone
    assert any(name.startswith("create-cgroup") for name in undone)


def test_in_the_log_as_json_and_for_exec(
    runtime: Runtime, bundle: Made, tmp_path: Path
) -> None:
    name = runtime.up(bundle(["/bin/sleep", "100"]))
    log = tmp_path / "log"
    runtime.global_options = ("--debug", "--log", str(log), "--log-format", "json")
    runtime.call("exec", name, "/bin/true").check()
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [entry["msg"] for entry in entries if entry["level"] == "debug"]
    assert any(message.startswith("host: open-container: ") for message in steps)
    assert any(": done in " in message for message in steps)
    runtime.delete(name, "--force").check()


@pytest.mark.parametrize("columns", WIDTHS)
def test_screen(
    runtime: Runtime, bundle: Made, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """A line a step, however wide the terminal is, as it goes to a log. The two sides work at the
    same time, so here each has its lines together.
    """
    monkeypatch.setenv("COLUMNS", str(columns))
    runtime.global_options = ("--debug",)
    good = bundle(["/bin/true"]).write()
    bad = bundle(["/bin/true"])
    bad.add_mount("/x", "tmpfs", "tmpfs", ["no-such-option=1"]).write()
    shown = []
    for verb, made in (("run", good), ("create", bad)):
        done = runtime.call(verb, "--bundle", str(made.path), made.name)
        assert done.status == (made is bad)
        text = done.stderr
        for found, word in (
            (str(made.path), "b"),
            (str(runtime.root), "/run/ociruntime"),
            (made.name, "c1"),
        ):
            text = text.replace(found, word)
        text = re.sub(r"\b\d+\.\d{3} ms", "N ms", text)
        text = re.sub(r"\b\d+ of \d+ steps", "N of N steps", text)
        lines = [line for line in text.splitlines() if not OF_THE_HOST.search(line)]
        lines.sort(key=lambda line: "debug: container:" in line)
        shown.append("\n".join([f"$ ociruntime --debug {verb} --bundle b c1", *lines]) + "\n")
    check_lines("debug", "\n".join(shown))


def test_no_lines_without_it(runtime: Runtime, bundle: Made) -> None:
    made = bundle(["/bin/true"]).write()
    result = runtime.call("run", "--bundle", str(made.path), made.name).check()
    assert result.stderr == ""


@pytest.fixture
def closed(tmp_path: Path, runtime_binary: Path) -> Path:
    """The installed runtime's front, with a package beside it that only root may enter."""
    (tmp_path / "bin").mkdir()
    front = Path(shutil.copy(runtime_binary, tmp_path / "bin/ociruntime"))
    package = tmp_path / "lib/ociruntime/ociruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "lib").chmod(0o700)
    for place in (tmp_path, *tmp_path.parents[:2], tmp_path / "bin"):
        place.chmod(place.stat().st_mode | 0o111)
    return front


def as_user(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    wrapper = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    return subprocess.run(
        [*wrapper, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], **env},
    )


def test_a_closed_installation_is_not_called_missing(closed: Path) -> None:
    done = as_user(closed, "--version")
    assert done.returncode != 0
    assert "permission denied" in done.stderr
    assert "cannot find" not in done.stderr


def test_a_closed_root_is_not_called_missing(runtime_binary: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "state").mkdir(parents=True)
    closed.chmod(0o700)
    done = as_user(runtime_binary, "--root", closed / "state", "list")
    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert "no such" not in done.stderr
    for verb in (("state", "x"), ("delete", "x"), ("kill", "x")):
        done = as_user(runtime_binary, "--root", closed / "state", *verb)
        assert "does not exist" not in done.stderr, verb
        assert "permission denied" in done.stderr.lower(), verb

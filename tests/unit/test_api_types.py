"""The examples of docs/api.md as type checkers see them, in their strict modes; and that they see
mistakes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.test_api_examples import DOCUMENT, examples

for tool in ("mypy", "basedpyright"):
    pytest.importorskip(tool, reason="`make test` installs it, `make test-tools` does not")
CHECKOUT = DOCUMENT.parents[1]
MYPY = ("--strict", "--config-file=", "--follow-imports=silent")
MISTAKES = {
    "unknown keyword": 'Bundle.make("b", "rootfs", ["true"], memroy="32M")',
    "wrong value": 'Bundle.make("b", "rootfs", ["true"], memory=1.5)',
    "unknown option": 'Runtime().run("b", pidfile="x")',
    "no signal": 'Runtime().container("x").kill(None)',
    "no such result": 'Runtime().container("x").wait().status',
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for number, text in enumerate(examples()):
        (tmp_path / f"example_{number}.py").write_text(text)
    return tmp_path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A line for each mistake, from the second on."""
    text = "\n".join(["from ociruntime.api import Bundle, Runtime", *MISTAKES.values(), ""])
    (tmp_path / "wrong.py").write_text(text)
    return tmp_path


def mypy(directory: Path) -> str:
    files = sorted(directory.glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *MYPY, *files],
        capture_output=True,
        text=True,
        cwd=directory,
        env={**os.environ, "MYPYPATH": str(CHECKOUT), "MYPY_CACHE_DIR": str(directory / "cache")},
        timeout=500,
        check=False,
    )
    return done.stdout + done.stderr


def pyright(directory: Path) -> list[tuple[str, int, str]]:
    """(file, line from 1, message) of every error."""
    settings = {
        "typeCheckingMode": "strict",
        "extraPaths": [str(CHECKOUT)],
        "pythonVersion": "3.11",
        "include": ["*.py"],
    }
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    program = Path(sys.executable).with_name("basedpyright")
    done = subprocess.run(
        [program, "--outputjson", "--project", directory / "pyrightconfig.json"],
        capture_output=True,
        text=True,
        cwd=directory,
        timeout=500,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(directory.glob("*.py")))
    return [
        (Path(entry["file"]).name, entry["range"]["start"]["line"] + 1, entry["message"])
        for entry in found["generalDiagnostics"]
    ]


def test_mypy_accepts_the_examples(programs: Path) -> None:
    assert mypy(programs).startswith("Success: ")


def test_mypy_refuses_mistakes(wrong: Path) -> None:
    lines = {int(line.split(":")[1]) for line in mypy(wrong).splitlines() if ": error: " in line}
    assert lines == set(range(2, 2 + len(MISTAKES)))


def test_pyright_accepts_the_examples(programs: Path) -> None:
    assert pyright(programs) == []


def test_pyright_refuses_mistakes(wrong: Path) -> None:
    assert {line for _, line, _ in pyright(wrong)} == set(range(2, 2 + len(MISTAKES)))

"""tests/distro/inside tells an archive that is not reached from a fault of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

INSIDE = Path(__file__).resolve().parents[1] / "distro" / "inside"
DEMO = "\t@echo 'what is left:'; echo 'no state, no mount, no cgroup, no process'\n"
PROGRAM = "#!/bin/sh\necho started from the start image\n"
# Answers what it is asked, and fails as what it is asked to run.
PYTHON = '#!/bin/sh\ncase "$*" in *pytest*) echo "{said}"; exit 1 ;; *) echo 3.13.0 ;; esac\n'


def status(place: Path, demo: str, tools: str = "\t@true\n", said: str = "") -> int:
    """What it ends with in a checkout of which only that much is there."""
    place.mkdir()
    (place / "Makefile").write_text(f"demo:\n{demo}test-tools dev:\n{tools}")
    programs = place / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (("ociruntime", PROGRAM), ("python", PYTHON.format(said=said))):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for path in ("build/wheel/_sys.here.so", "ociruntime/kernel/__init__.py"):
        (place / path).parent.mkdir(parents=True)
        (place / path).touch()
    environment = os.environ | {"PYTHON": "/usr/bin/python3"}
    command = ["sh", str(INSIDE), "ci"]
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, check=False, timeout=PATIENCE
    )
    return done.returncode


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("E: Failed to fetch file:/a/b.deb  404  Not Found", os.EX_TEMPFAIL),
        ("WARNING: Retrying (Retry(total=4, connect=None)) after this", os.EX_TEMPFAIL),
        ("meson.build:7: ERROR: Compiler cc cannot compile programs.", 1),
    ],
)
def test_what_a_step_says(tmp_path: Path, line: str, expected: int) -> None:
    fails = f'\t@echo "{line}"; exit 1\n'
    assert status(tmp_path / "a", fails) == expected
    assert status(tmp_path / "b", DEMO, fails) == expected


def test_tests_fail_whatever_they_say(tmp_path: Path) -> None:
    assert status(tmp_path / "a", DEMO, said="E: Failed to fetch") == 1


def test_a_demo_that_leaves_something(tmp_path: Path) -> None:
    assert status(tmp_path / "a", "\t@echo done\n") == 1

"""native/interpreter.py: which interpreters and processors the build takes; what it says else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.native.driver import CHECKOUT
from tests.support.patience import PATIENCE

PROGRAM = CHECKOUT / "native" / "interpreter.py"
# Runs the program (the first argument) after a change (the second) of what it asks.
CHANGED = "import platform, runpy, sys, sysconfig; exec(sys.argv[2]); runpy.run_path(sys.argv[1], run_name='__main__')"  # noqa: E501


def ask(change: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHANGED, PROGRAM, change],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip


def test_facts() -> None:
    done = ask("")
    assert (done.returncode, done.stderr) == (0, "")
    assert dict(line.split("=") for line in done.stdout.splitlines()).keys() == {
        f"INTERPRETER_{name}"
        for name in ("DYNLOAD", "LIBRARY", "NAME", "PREFIX", "STDLIB", "SUFFIX")
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("platform.machine = lambda: 'riscv64'", "aarch64, not riscv64; docs/platforms.md"),
        ("sys.version_info = (3, 10, 0)", "needs CPython 3.11 or newer"),
        ("sys.implementation.name = 'pypy'", "needs CPython 3.11 or newer"),
        ("sysconfig.get_config_var = lambda name: 'libpython3.11.a'", "shared"),
    ],
    ids=["machine", "version", "implementation", "static"],
)
def test_others_are_refused_in_one_line(change: str, words: str) -> None:
    done = ask(change)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1

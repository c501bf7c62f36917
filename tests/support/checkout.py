"""The files of the checkout that are, or would be, committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def tracked(*patterns: str) -> list[Path]:
    """Regular files that match one of git's `patterns` (without any: all), or the test is skipped.

    A distribution's fresh root has neither git nor the checkout's history (tests/distro).
    """
    if shutil.which("git") is None:
        pytest.skip("no git")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard", *patterns],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("this is no checkout of git")
    found = [CHECKOUT / name for name in listed.stdout.split("\0") if name]
    return [path for path in found if path.is_file() and not path.is_symlink()]

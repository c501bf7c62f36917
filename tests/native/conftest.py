"""Fixtures of the tests of native code."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.installed import PREFIX, SITE, run


@pytest.fixture
def prefix() -> Iterator[Path]:
    """An installation of our own with an image of its own, where every user can reach it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "bin").mkdir()
        shutil.copy2(PREFIX / "bin" / "ociruntime", place / "bin")
        target = place / SITE / "ociruntime"
        ignored = shutil.ignore_patterns("start.image*", "__pycache__")
        shutil.copytree(PREFIX / SITE / "ociruntime", target, ignore=ignored)
        made = run(place, "--make-image")
        assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
        yield place

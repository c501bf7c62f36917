"""One version in all places that name it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ociruntime import __version__

CHECKOUT = Path(__file__).resolve().parents[2]


def test_changelogs_begin_with_it() -> None:
    heading = re.search(r"^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1] == __version__
    debian = (CHECKOUT / "debian" / "changelog").read_text()
    assert debian.startswith(f"ociruntime ({__version__}) ")


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_a_tag_is_it() -> None:
    """Of the commit that is tested, if it has one: a release is tagged with what it says."""
    done = subprocess.run(
        ["git", "-C", CHECKOUT, "tag", "--points-at", "HEAD", "--list", "v*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(done.stdout.split()) <= {f"v{__version__}"}

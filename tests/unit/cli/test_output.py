"""Standard output that takes nothing is an error with a reason, for every command that prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RUNTIME = Path(__file__).resolve().parents[3] / "build" / "ociruntime"


@pytest.mark.parametrize("words", ["--version", "--help", "features", "list", "net ls"])
def test_full(words: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [RUNTIME, "--root", tmp_path, *words.split()],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ociruntime: standard output: ENOSPC: no space left")


def test_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{RUNTIME}" features | true; exit 0'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "internal error" not in done.stderr

"""The source distribution and the wheel: built without git, installed, and started."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ociruntime import __version__
from tests.native.driver import CHECKOUT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("git") is None, reason="a sdist is made of a git checkout"),
]
BUILD = "import mesonpy, sys; print(getattr(mesonpy, sys.argv[1])(sys.argv[2]))"


def built(kind: str, source: Path, target: Path, path: str) -> Path:
    """What mesonpy makes of `source`, with only what is in `path` to help it."""
    target.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, target], cwd=source, check=False,
        capture_output=True, text=True, timeout=600, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the sdist of a clone, where there is no git."""
    place = tmp_path_factory.mktemp("package")
    subprocess.run(["git", "clone", "-q", CHECKOUT, place / "clone"], check=True)
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    sdist = built("build_sdist", place / "clone", place / "sdist", tools)
    (place / "source").mkdir()
    subprocess.run(["tar", "-x", "-f", sdist, "-C", place / "source"], check=True)
    (place / "tools").mkdir()
    (place / "tools" / "git").write_text("#!/bin/sh\nexit 99\n")
    (place / "tools" / "git").chmod(0o755)
    source = place / "source" / f"ociruntime-{__version__}"
    assert not (source / ".git").exists()
    return built("build_wheel", source, place / "wheel", f"{place}/tools:{tools}")


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        text = archive.read(f"ociruntime-{__version__}.dist-info/METADATA").decode()
    fields = email.message_from_string(text)
    assert (fields["Version"], fields["License-Expression"]) == (__version__, "Apache-2.0")
    assert fields["License-File"] == "LICENSE"
    assert f"ociruntime-{__version__}.data/data/share/man/man8/ociruntime.8" in names
    # Whoever reads it on an index page has no checkout around it.
    links = [part.split(")")[0] for part in fields.get_payload().split("](")[1:]]
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_its_programs_run(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps",
         "--no-index", wheel],
        check=True, timeout=300,
    )  # fmt: skip
    programs = python.parent
    for command in ([programs / "ociruntime"], [python, "-m", "ociruntime"]):
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, check=True, cwd="/"
        )
        assert done.stdout.startswith(f"ociruntime version {__version__}\n")
    refreshed = subprocess.run(
        [python, "-m", "ociruntime", "image", "refresh"], check=False, cwd="/"
    )
    assert refreshed.returncode == 0
    shown = subprocess.run(
        [programs / "ociruntime", "image"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert "start image" in shown.stdout
    for name in ("containerd-shim-ociruntime-v1", "ociruntime-net", "ociruntime-ipam"):
        assert os.access(programs / name, os.X_OK)

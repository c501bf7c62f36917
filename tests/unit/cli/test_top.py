"""`top` where textual is missing: the error has the command that helps this very installation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ociruntime.cli.top import installs_textual

from .caller import call


@pytest.mark.parametrize(
    ("home", "pip", "command"),
    [
        ("venv/lib/python3.11/site-packages", "venv/bin/pip", "venv/bin/pip install"),
        ("checkout", "checkout/.venv/bin/pip", "checkout/.venv/bin/pip install"),
        ("usr/lib/python3/dist-packages", None, "apt-get install -y python3-textual"),
        ("usr/local/lib/ociruntime", None, "pip install --target {top}/usr/local/lib/ociruntime"),
    ],
)
def test_the_command(tmp_path: Path, home: str, pip: str | None, command: str) -> None:
    package = tmp_path / home / "ociruntime"
    package.mkdir(parents=True)
    if pip:
        (tmp_path / pip).parent.mkdir(parents=True)
        (tmp_path / pip).touch()
    assert command.format(top=tmp_path) in installs_textual(str(package))


def test_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ociruntime.top.app", None)
    monkeypatch.setattr("ociruntime.cli.top.os.isatty", lambda _fd: True)
    done = call(tmp_path, "top")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "needs Python's textual: " in done.stderr
    assert "or use --once" in done.stderr
    assert os.listdir(tmp_path) == []

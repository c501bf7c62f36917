"""hostos does for str paths what os does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ociruntime import hostos

PATHS = st.text("/.ab", max_size=12)


@given(PATHS, PATHS)
def test_paths_as_in_os(first: str, second: str) -> None:
    assert hostos.path.join(first, second) == os.path.join(first, second)
    assert hostos.path.basename(first) == os.path.basename(first)
    # POSIX leaves two leading slashes to the system; for Linux they are one.
    single = first.lstrip("/") if not first.startswith("/") else "/" + first.lstrip("/")
    assert hostos.path.dirname(single) == os.path.dirname(single)
    assert hostos.path.split(single) == os.path.split(single)
    assert hostos.path.normpath(single) == os.path.normpath(single)
    assert hostos.path.abspath(single) == os.path.abspath(single)


@given(st.binary())
def test_names_of_any_bytes(name: bytes) -> None:
    assert hostos.fsencode(hostos.fsdecode(name)) == name


def test_directories(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    hostos.makedirs(str(deep), 0o711)
    hostos.makedirs(str(deep), 0o711)
    assert deep.is_dir()
    assert hostos.path.isdir(str(deep))
    assert not hostos.path.isdir(str(deep / "c"))
    (tmp_path / "link").symlink_to(deep)
    assert hostos.path.realpath(str(tmp_path / "link")) == os.path.realpath(deep)
    with pytest.raises(FileNotFoundError):
        hostos.path.realpath(str(deep / "c"))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        hostos.makedirs(str(tmp_path / "file"), 0o711)
    assert hostos.is_regular((tmp_path / "file").stat().st_mode)
    assert not hostos.is_regular(tmp_path.stat().st_mode)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hostos.getenv("PATH") == os.environ["PATH"]
    assert hostos.getenv("OCIRUNTIME_NO_SUCH_NAME") is None

"""Entries of the cache: used when they are whole and the caller's own, made again otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime.seccomp import cache
from ociruntime.seccomp.cache import FilterProgram

KEY = "k" * 64
CODE = bytes(range(80))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "libseccomp.so.2"
    path.write_bytes(b"library")
    return path


@pytest.fixture
def root(tmp_path: Path, library: Path) -> str:
    made = tmp_path / "root"
    made.mkdir()
    cache.store(str(made), KEY, program(library))
    return str(made)


def program(library: Path) -> FilterProgram:
    made = FilterProgram(CODE, str(library), cache.file_stamp(str(library)))
    made.execve, made.capset, made.prctl, made.sendmsg = 1, 2, 3, 4
    made.skipped = {"new_one": "", "opneat": "openat"}
    return made


def entry(root: str, key: str = KEY) -> Path:
    return Path(root, cache.DIRECTORY, key)


def test_what_is_stored_is_loaded(root: str, library: Path) -> None:
    found = cache.load(root, KEY)
    assert found is not None
    for name in FilterProgram.__slots__:
        assert getattr(found, name) == getattr(program(library), name)


def test_nothing_skipped_stays_nothing(root: str, library: Path) -> None:
    made = program(library)
    made.skipped = {}
    cache.store(root, KEY, made)
    found = cache.load(root, KEY)
    assert found is not None
    assert found.skipped == {}


def test_absent(tmp_path: Path) -> None:
    assert cache.load(str(tmp_path), KEY) is None


def test_nobody_else_may_read_or_write(root: str) -> None:
    assert entry(root).stat().st_mode & 0o7777 == 0o600
    assert entry(root).parent.stat().st_mode & 0o7777 == 0o700
    assert [path.name for path in entry(root).parent.iterdir()] == [KEY]


def test_every_flipped_bit_is_noticed(root: str) -> None:
    good = entry(root).read_bytes()
    for at in range(len(good)):
        entry(root).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert cache.load(root, KEY) is None, at


def test_every_truncation_is_noticed(root: str) -> None:
    good = entry(root).read_bytes()
    for length in range(len(good)):
        entry(root).write_bytes(good[:length])
        assert cache.load(root, KEY) is None, length
    entry(root).write_bytes(good + b"\0")
    assert cache.load(root, KEY) is None


def test_an_entry_under_another_name_is_not_used(root: str) -> None:
    other = "o" * 64
    entry(root).rename(entry(root, other))
    assert cache.load(root, other) is None


def _other_mode(path: Path) -> None:
    path.chmod(0o644)


def _group_writable(path: Path) -> None:
    path.chmod(0o620)


def _symlink(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir(0o600)


def _too_large(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(cache.LARGEST + 1)


@pytest.mark.parametrize(
    "spoil", [_other_mode, _group_writable, _symlink, _fifo, _directory, _too_large]
)
def test_what_others_may_have_made_is_not_used(root: str, spoil: Callable[[Path], None]) -> None:
    spoil(entry(root))
    assert cache.load(root, KEY) is None


def test_another_owner_s_entry_is_not_used(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.geteuid()
    monkeypatch.setattr("ociruntime.hostos.geteuid", lambda: own + 1)
    assert cache.load(root, KEY) is None


def test_another_libseccomp_makes_another_program(root: str, library: Path) -> None:
    library.write_bytes(b"an update")
    assert cache.load(root, KEY) is None


def test_a_removed_libseccomp_is_noticed(root: str, library: Path) -> None:
    library.unlink()
    assert cache.load(root, KEY) is None


def test_store_replaces(root: str, library: Path) -> None:
    entry(root).write_bytes(b"damaged")
    cache.store(root, KEY, program(library))
    assert cache.load(root, KEY) is not None


def test_the_number_of_entries_is_bounded(root: str, library: Path) -> None:
    for number in range(cache.MOST_ENTRIES + 10):
        os.utime(entry(root, KEY if not number else f"{number - 1}"), ns=(0, number))
        cache.store(root, str(number), program(library))
    left = {path.name for path in entry(root).parent.iterdir()}
    assert len(left) == cache.MOST_ENTRIES
    assert str(cache.MOST_ENTRIES + 9) in left
    assert KEY not in left
    assert "0" not in left


def test_a_directory_that_cannot_be_written_is_an_error_without_leftovers(tmp_path: Path) -> None:
    (tmp_path / cache.DIRECTORY).write_text("a file")
    with pytest.raises(OSError, match="Not a directory"):
        cache.store(str(tmp_path), KEY, FilterProgram(CODE, "", (0, 0, 0)))
    assert [path.name for path in tmp_path.iterdir()] == [cache.DIRECTORY]


def test_a_name_that_cannot_be_taken_leaves_no_temporary_file(root: str, library: Path) -> None:
    _directory(entry(root))
    with pytest.raises(OSError, match="directory"):
        cache.store(root, KEY, program(library))
    assert [path.name for path in entry(root).parent.iterdir()] == [KEY]

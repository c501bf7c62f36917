"""Compiled filters under --root: used again, never trusted blindly, in nobody's way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.seccomp import rule, strict

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def denied(bundle: MakeBundle) -> Bundle:
    """A container that says whether mkdir(2) works in it."""
    made = bundle().shell("mkdir /tmp/x && echo made || echo denied")
    made.config["linux"]["seccomp"] = strict()
    return made


def entries(runtime: Runtime) -> list[Path]:
    return list((runtime.root / ".seccomp").iterdir())


def answer(runtime: Runtime, made: Bundle) -> str:
    return runtime.run(made).check().stdout.strip()


def test_one_entry_a_profile(runtime: Runtime, denied: Bundle) -> None:
    assert answer(runtime, denied) == "denied"
    assert answer(runtime, denied) == "denied"
    assert len(entries(runtime)) == 1
    denied.config["linux"]["seccomp"] = strict(rule("mkdir mkdirat"))
    assert answer(runtime, denied) == "made"
    assert len(entries(runtime)) == 2


def test_it_is_the_owner_s_alone(runtime: Runtime, denied: Bundle) -> None:
    answer(runtime, denied)
    directory = runtime.root / ".seccomp"
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert [path.stat().st_mode & 0o7777 for path in entries(runtime)] == [0o600]


def test_it_is_no_container(runtime: Runtime, denied: Bundle) -> None:
    answer(runtime, denied)
    assert runtime.list("-q").check().stdout == ""
    assert not runtime.state(".seccomp").ok
    assert not runtime.delete(".seccomp").ok


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_only_the_first_container_loads_libseccomp(
    runtime: Runtime, denied: Bundle, tmp_path: Path
) -> None:
    texts = []
    for number in range(2):
        trace = tmp_path / f"trace{number}"
        wrapper = ("strace", "-f", "-qq", "-e", "trace=openat,open,execve", "-o", str(trace))
        runtime.run(denied, wrapper=wrapper).check()
        texts.append(trace.read_text())
    for word in ("libseccomp.so", "ctypes"):
        assert word in texts[0]
        assert word not in texts[1]


@pytest.mark.parametrize("damage", [b"", b"x", b"ociscmp1" + bytes(200)])
def test_a_damaged_entry_is_made_again(runtime: Runtime, denied: Bundle, damage: bytes) -> None:
    answer(runtime, denied)
    (entry,) = entries(runtime)
    good = entry.read_bytes()
    entry.write_bytes(damage or good[:-8])
    assert answer(runtime, denied) == "denied"
    assert entry.read_bytes() == good


def test_a_directory_in_its_place_costs_only_time(runtime: Runtime, denied: Bundle) -> None:
    runtime.root.mkdir(mode=0o711)
    (runtime.root / ".seccomp").write_text("")
    assert answer(runtime, denied) == "denied"


def test_many_at_once_with_an_empty_cache(runtime: Runtime, bundle: MakeBundle) -> None:
    bundles = []
    for _ in range(4):
        made = bundle(["/bin/mkdir", "/tmp/x"])
        made.config["linux"]["seccomp"] = strict()
        bundles.append(made)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(runtime.run, bundles))
    for result in results:
        assert "Operation not permitted" in result.stderr
    assert len(entries(runtime)) == 1


def test_another_user_s_root_is_not_ours(runtime: Runtime, denied: Bundle) -> None:
    """An entry that somebody else could have written is not loaded; it is replaced by our own."""
    answer(runtime, denied)
    denied.config["linux"]["seccomp"] = strict(rule("mkdir mkdirat"))
    answer(runtime, denied)
    permissive, restrictive = sorted(entries(runtime), key=lambda path: -path.stat().st_mtime_ns)
    shutil.copyfile(permissive, restrictive)
    os.chown(restrictive, 1000, 1000)
    denied.config["linux"]["seccomp"] = strict()
    assert answer(runtime, denied) == "denied"
    assert restrictive.stat().st_uid == 0

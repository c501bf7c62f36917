"""Id maps of an unprivileged caller: what is written by whom, and what an error says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ociruntime.errors import OciError, StepError
from ociruntime.kernel.kernel import Kernel
from ociruntime.process import rootless
from ociruntime.process.rootless import write_map

PID = 4711
RANGES = [(0, 1000, 1), (1, 100_000, 65536)]


class Proc(Kernel):
    """Keeps what is written to files of /proc; ``refuse`` is the errno of writing a map."""

    def __init__(self, refuse: int = 0, own_map: str = "0 0 4294967295\n") -> None:
        self.refuse = refuse
        self.own_map = own_map
        self.written: dict[str, str] = {}
        self.paths: dict[int, str] = {}

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        self.paths[len(self.paths)] = path
        return len(self.paths) - 1

    def close(self, fd: int) -> None:
        pass

    def read(self, fd: int, size: int) -> bytes:
        return self.own_map.encode()

    def write(self, fd: int, data: bytes) -> int:
        if self.refuse and self.paths[fd].endswith("_map"):
            raise OSError(self.refuse, os.strerror(self.refuse))
        self.written[self.paths[fd]] = data.decode()
        return len(data)


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # pytest looks whose its directory is, when the first one of all is made.
    for name in ("getuid", "geteuid", "getegid"):
        monkeypatch.setattr(os, name, lambda: 1000)


def helper(
    monkeypatch: pytest.MonkeyPatch, directory: Path, script: str, kind: str = "uid"
) -> Path:
    path = directory / f"new{kind}map"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setitem(rootless.HELPERS, kind, ("/nonexistent", str(path)))
    return path


def test_own_gid_gives_up_setgroups() -> None:
    proc = Proc()
    write_map(proc, PID, "gid", [(0, 1000, 1)])
    assert list(proc.written.items()) == [
        (f"/proc/{PID}/setgroups", "deny"),
        (f"/proc/{PID}/gid_map", "0 1000 1\n"),
    ]


def test_own_uid() -> None:
    proc = Proc()
    write_map(proc, PID, "uid", [(5, 1000, 1)])
    assert proc.written == {f"/proc/{PID}/uid_map": "5 1000 1\n"}


def test_a_caller_with_rights_leaves_setgroups_alone() -> None:
    """Root of a user namespace: the kernel takes any map of what it has."""
    proc = Proc()
    write_map(proc, PID, "gid", RANGES)
    assert proc.written == {f"/proc/{PID}/gid_map": "0 1000 1\n1 100000 65536\n"}


def test_helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It gets the ranges as arguments, and nothing of our environment."""
    helper(monkeypatch, tmp_path, f'echo "$@" >{tmp_path}/args; env >{tmp_path}/env')
    monkeypatch.setenv("LD_PRELOAD_LIKE", "1")
    write_map(Proc(errno.EPERM), PID, "uid", RANGES)
    assert (tmp_path / "args").read_text().split() == f"{PID} 0 1000 1 1 100000 65536".split()
    assert "LD_PRELOAD_LIKE" not in (tmp_path / "env").read_text()


def test_helper_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(monkeypatch, tmp_path, "echo not; echo allowed >&2; exit 1")
    with pytest.raises(
        OciError, match=r"newuidmap: not \| allowed; /etc/subuid must grant uid 1000"
    ):
        write_map(Proc(errno.EPERM), PID, "uid", RANGES)


def test_helper_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(monkeypatch, tmp_path, "kill -9 $$", "gid")
    with pytest.raises(OciError, match="it exited with status 137"):
        write_map(Proc(errno.EPERM), PID, "gid", RANGES)


def test_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rootless.HELPERS, "gid", ("/nonexistent",))
    with pytest.raises(
        OciError, match="newgidmap, which is not installed; install Debian's uidmap"
    ):
        write_map(Proc(errno.EPERM), PID, "gid", RANGES)


def test_range_that_our_namespace_does_not_have() -> None:
    proc = Proc(errno.EPERM, "0 1000 1\n1 100000 10\n")
    with pytest.raises(OciError, match=r"uid 10-20 is not mapped .* \(it has 0-0, 1-10\)"):
        write_map(proc, PID, "uid", [(0, 0, 1), (1, 10, 11)])


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_other_refusals(number: int) -> None:
    with pytest.raises(StepError, match=errno.errorcode[number]):
        write_map(Proc(number), PID, "uid", RANGES)


def test_user_namespaces_are_forbidden() -> None:
    with pytest.raises(StepError, match="forbids user namespaces"):
        write_map(Proc(errno.EPERM), PID, "uid", [(0, 1000, 1)])

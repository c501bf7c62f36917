"""Pipes in front of files that a process could not open."""

from __future__ import annotations

import os
from pathlib import Path
from select import poll

import pytest

from ociruntime.process.outputs import Outputs, is_closed_to

ROOT = {"capabilities": {"effective": ["CAP_DAC_OVERRIDE"]}}


@pytest.mark.parametrize(
    ("mode", "owner", "process", "in_userns", "closed"),
    [
        (0o600, 4711, ROOT, False, True),
        (0o602, 4711, ROOT, False, False),
        (0o600, -1, ROOT, True, True),
        (0o606, -1, ROOT, True, False),
        (0o600, os.getuid(), {}, True, False),
        (0o400, os.getuid(), {}, True, True),
        (0o400, 0, ROOT, False, False),
        (0o400, 0, {}, False, True),
    ],
)
def test_who_needs_one(
    tmp_path: Path, mode: int, owner: int, process: dict[str, object], in_userns: bool, closed: bool
) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert is_closed_to(fd, process, owner, in_userns=in_userns) == closed
    finally:
        os.close(fd)


def test_one_pipe_for_a_file(tmp_path: Path) -> None:
    files = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("a", "b")]
    files.append(os.dup(files[0]))
    try:
        made = Outputs(files)
        ends = made.streams[-3:]
        assert ends[0] == ends[2] != ends[1]
        poller = poll()
        for fd in {ends[0], ends[1]}:
            os.write(fd, b"%d" % fd)
        made.begin(poller)
        for fd, _ in poller.poll(0):
            assert made.serve(poller, fd)
        assert not made.serve(poller, 0)
        said: list[str] = []
        made.finish(said.append)
        assert said == []
        assert [(tmp_path / name).read_text() for name in "ab"] == [str(ends[0]), str(ends[1])]
    finally:
        for fd in files:
            os.close(fd)


def test_what_finds_no_place(tmp_path: Path) -> None:
    """It is said, with how much it was, and holds nobody up."""
    path = tmp_path / "file"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        made = Outputs([fd])
        os.write(made.streams[-1], b"seven\n\n")
        made.begin(poll())
        said: list[str] = []
        made.finish(said.append)
    finally:
        os.close(fd)
    assert said == ["standard output: Bad file descriptor; 7 bytes are lost"]

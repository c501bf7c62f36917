"""What a resident process gives back while it waits, and what it keeps."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack

import pytest

from ociruntime.kernel import _sys, rest
from tests.support.patience import PATIENCE

PAGE = mmap.PAGESIZE
PRESENT = 1 << 63
READ, CHANGED, AS_BEFORE, UNTOUCHED = range(4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"".join(bytes([number + 1]) * PAGE for number in range(4)))
    return path


@pytest.fixture
def memory(file: Path) -> Iterator[mmap.mmap]:
    with file.open("rb") as opened:
        made = mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE)
    assert made[READ * PAGE] == 1
    made[CHANGED * PAGE] = 9
    made[AS_BEFORE * PAGE] = 9
    made[AS_BEFORE * PAGE] = 3
    yield made
    made.close()


def address_of(file: Path) -> tuple[int, int]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(file)):
            begin, end = line.split()[0].split("-")
            return int(begin, 16), int(end, 16)
    raise AssertionError(file)


def present(begin: int) -> list[bool]:
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        pagemap.seek(begin // PAGE * 8)
        return [bool(entry & PRESENT) for entry in unpack("=4Q", pagemap.read(32))]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    made = os.pipe()
    yield made
    for fd in made:
        os.close(fd)


@pytest.mark.parametrize("can_read", [True, False])
def test_what_is_as_in_the_file_is_given_back(
    file: Path, memory: mmap.mmap, pipe: tuple[int, int], can_read: bool
) -> None:
    begin, end = address_of(file)
    with file.open("rb") as opened:
        fd = opened.fileno() if can_read else -1
        assert _sys.rest(pack("=QQQq", begin, end, 0, fd), pipe[0], 0) == 0
    is_there = present(begin)
    assert not is_there[READ]
    assert is_there[CHANGED]
    assert is_there[AS_BEFORE] == (not can_read)
    expected = bytearray(file.read_bytes())
    expected[CHANGED * PAGE] = 9
    assert memory[:] == expected


def test_offset_counts(file: Path, pipe: tuple[int, int]) -> None:
    with file.open("rb") as opened:
        memory = mmap.mmap(opened.fileno(), PAGE, mmap.MAP_PRIVATE, offset=2 * PAGE)
        memory[0] = 1  # what page 0 of the file begins with
        memory[:] = bytes([1]) * PAGE
        begin, end = address_of(file)
        _sys.rest(pack("=QQQq", begin, end, 2 * PAGE, opened.fileno()), pipe[0], 0)
    assert memory[:] == bytes([1]) * PAGE
    memory.close()


def test_it_waits(pipe: tuple[int, int]) -> None:
    assert _sys.rest(b"", pipe[0], 1) == 0
    os.write(pipe[1], b"x")
    assert _sys.rest(b"", pipe[0], -1) == 1
    with pytest.raises(ValueError, match="four numbers"):
        _sys.rest(bytes(33), pipe[0], 0)


PROGRAM = """
import json, sys
from ociruntime.kernel.rest import rest
print("ready", flush=True)
sys.stdin.readline()
rest(0, -1)
print(sum(json.loads(sys.stdin.readline())))
"""


def test_a_process_goes_on() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def of_files() -> int:
        (line,) = (
            line
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if line.startswith("RssFile:")
        )
        return int(line.split()[1])

    before = of_files()
    process.stdin.write("go\n")
    process.stdin.flush()
    deadline = time.monotonic() + PATIENCE
    while of_files() > before / 2:
        assert time.monotonic() < deadline, "it gives nothing back"
        time.sleep(0.01)
    stdout, _ = process.communicate("[1, 2, 3]\n")
    assert (process.returncode, stdout) == (0, "6\n")


def test_files_that_took_the_name_do_not_count(file: Path, memory: mmap.mmap) -> None:
    line = next(line for line in rest._maps() if line.endswith(bytes(file)))
    files: dict[bytes, tuple[int, tuple[bytes, bytes]]] = {}
    assert unpack("=QQQq", rest._range(line, files))[:3] == (*address_of(file), 0)
    (fd, _) = files[bytes(file)]
    assert os.path.samestat(os.fstat(fd), file.stat())
    os.close(fd)
    file.rename(file.with_name("old"))
    file.write_bytes(b"another")
    files = {}
    assert unpack("=QQQq", rest._range(line, files))[3] == -1
    os.close(files[bytes(file)][0])

"""ociruntime.kernel._sys.run_program: a program run to its end without a copy of us."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Iterator

import pytest

from ociruntime.kernel import _sys

BUSYBOX = "/bin/busybox"


def ints(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}i", *numbers)


@pytest.fixture
def program() -> Iterator[int]:
    fd = os.open(BUSYBOX, os.O_RDONLY | os.O_CLOEXEC)
    yield fd
    os.close(fd)


@pytest.fixture
def streams() -> Iterator[tuple[int, int]]:
    """A pipe: what is read from, what the program writes to."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def shell(
    program: int, script: str, streams: tuple[int, int], *kept: int, env: tuple[bytes, ...] = ()
) -> tuple[int, str]:
    """(exit status, output) of a script whose only descriptors are streams and what is kept."""
    read, write = streams
    argv = [b"sh", b"-c", script.encode(), b"name", b"an argument"]
    keep = ints(*sorted((program, *kept)))
    status = _sys.run_program(program, argv, list(env), ints(write, write, write), keep, -1)
    os.set_blocking(read, False)
    try:
        output = os.read(read, 65536).decode()
    except BlockingIOError:
        output = ""
    return os.waitstatus_to_exitcode(status), output


def test_status_and_words(program: int, streams: tuple[int, int]) -> None:
    script = 'echo "$1" "$V" "$#"; exit 7'
    assert shell(program, script, streams, env=(b"V=value",)) == (7, "an argument value 1\n")
    assert shell(program, "kill -9 $$", streams) == (-9, "")


def test_descriptors(program: int, streams: tuple[int, int]) -> None:
    """Streams, and what is kept though it is close-on-exec with us, and stays so."""
    kept = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(3)]
    other = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(other, True)
    before = sorted(os.listdir("/proc/self/fd"))
    try:
        _, said = shell(program, "echo /proc/self/fd/*", streams, kept[0], kept[2])
        seen = {int(path.rpartition("/")[2]) for path in said.split()}
        assert seen >= {0, 1, 2, kept[0], kept[2]}
        # The shell itself opened one for the pattern.
        assert len(seen - {0, 1, 2, kept[0], kept[2]}) <= 1
        assert sorted(os.listdir("/proc/self/fd")) == before
        assert not os.get_inheritable(kept[0])
    finally:
        for fd in (*kept, other):
            os.close(fd)


def test_signals_are_blocked_and_come_back(program: int, streams: tuple[int, int]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    argv = [b"grep", b"SigBlk", b"/proc/self/status"]
    ends = ints(streams[1], streams[1], streams[1])
    assert _sys.run_program(program, argv, [], ends, ints(program), -1) == 0
    blocked = int(os.read(streams[0], 100).split()[1], 16)
    assert blocked & 1 << signal.SIGTERM - 1
    assert blocked & 1 << signal.SIGCHLD - 1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_our_other_children_are_left_alone(program: int, streams: tuple[int, int]) -> None:
    child = os.fork()
    if child == 0:
        os._exit(3)
    assert shell(program, "exit 0", streams) == (0, "")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_failures_are_numbers() -> None:
    assert _sys.run_program(1 << 20, [b"x"], [], b"", b"", -1) == -errno.EBADF
    assert _sys.run_program(1 << 20, [b"x"], [], b"", ints(1 << 20), -1) == -errno.EBADF
    assert _sys.run_program(0, [b"x"], [], ints(1 << 20), b"", -1) == -errno.EBADF
    with open("/etc/passwd") as file:
        refused = _sys.run_program(file.fileno(), [b"x"], [], b"", b"", -1)
    assert refused == -errno.EACCES
    with pytest.raises(ValueError, match="null byte"):
        _sys.run_program(0, [b"a\0b"], [], b"", b"", -1)
    with pytest.raises(ValueError, match="null byte"):
        _sys.run_program(0, [b"a"], [b"a\0b"], b"", b"", -1)
    with pytest.raises(TypeError):
        _sys.run_program(0, ["text"], [], b"", b"", -1)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="C ints"):
        _sys.run_program(0, [b"a"], [], b"abc", b"", -1)


def test_one_that_takes_too_long_is_killed(program: int, streams: tuple[int, int]) -> None:
    """Also where somebody has stopped it."""
    ends = ints(streams[1], streams[1], streams[1])
    for script in (b"sleep 1000", b"kill -STOP $$"):
        argv = [b"sh", b"-c", script]
        status = _sys.run_program(program, argv, [b"PATH=/bin"], ends, ints(program), 200)
        assert os.waitstatus_to_exitcode(status) == -9

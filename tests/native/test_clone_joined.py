"""ociruntime.kernel._sys.clone_joined: fork style, from a process between that joins namespaces."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Callable, Iterator

import pytest

from ociruntime.kernel import _sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_VM = 0x20000, 0x4000000, 0x20000000, 0x100


def ints(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}i", *numbers)


def made(
    report: Callable[[], str],
    joined: bytes = b"",
    *,
    flags: int = 0,
    streams: bytes = b"",
    kept: tuple[int, ...] = (),
) -> str:
    """What ``report`` says in the process made."""
    read, write = os.pipe()
    try:
        result = _sys.clone_joined(flags, -1, joined, streams, ints(*sorted((*kept, write))))
        if result[0] == 0:
            status = 1
            try:
                os.write(write, report().encode())
                status = 0
            finally:
                os._exit(status)
        assert result[1:] == (-1, 0)
        assert os.waitpid(result[0], 0) == (result[0], 0)
        return os.read(read, 65536).decode()
    finally:
        os.close(read)
        os.close(write)


def test_it_is_our_child_and_python_works() -> None:
    me = os.getpid()
    assert made(lambda: f"{os.getppid()} {','.join(map(str, range(1000)))[-3:]}") == f"{me} 999"


def test_signals_come_as_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        blocked = made(lambda: repr(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        assert blocked == repr(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_descriptors() -> None:
    """Streams get their numbers, and nothing is left but what is kept; ours stay as they are."""
    ends = [os.open(os.devnull, os.O_RDWR) for _ in range(6)]
    before = sorted(os.listdir("/proc/self/fd"))

    def report() -> str:
        return " ".join(str(fd) for fd in range(200) if is_open(fd))

    try:
        said = made(report, streams=ints(*ends[:3]), kept=(ends[1], ends[4]))
        numbers = [int(word) for word in said.split()]
        assert numbers[:3] == [0, 1, 2]
        assert set(numbers[3:]) >= {ends[1], ends[4]}
        assert len(numbers) == 6  # and the pipe of made()
        assert sorted(os.listdir("/proc/self/fd")) == before
    finally:
        for fd in ends:
            os.close(fd)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_without_streams_all_stay() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    try:
        assert made(lambda: str(is_open(fd))) == "True"
    finally:
        os.close(fd)


def test_failures_are_reported_not_raised() -> None:
    assert _sys.clone_joined(0, 2**20, b"", b"", b"") == (-1, -1, errno.EBADF)
    with open(os.devnull) as file:
        answer = _sys.clone_joined(0, -1, ints(file.fileno(), CLONE_NEWUTS), b"", b"")
        assert answer == (-1, 0, errno.EINVAL)
    assert _sys.clone_joined(0, -1, b"", ints(2**20, 2**20, 2**20), b"") == (-1, -1, errno.EBADF)


def test_sharing_is_refused() -> None:
    with pytest.raises(ValueError, match="fork style"):
        _sys.clone_joined(CLONE_VM, -1, b"", b"", b"")
    with pytest.raises(ValueError, match="C ints"):
        _sys.clone_joined(0, -1, b"abc", b"", b"")


@pytest.fixture
def other() -> Iterator[int]:
    """The pid of the first process in new mount, uts and pid namespaces."""
    pid, pidfd = _sys.clone(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID)
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    os.waitpid(pid, 0)


@pytest.mark.kernel
def test_namespaces_are_joined(other: int) -> None:
    ours = os.readlink("/proc/self/ns/uts")
    paths = [f"/proc/{other}/ns/{name}" for name in ("uts", "pid", "mnt")]
    fds = [os.open(path, os.O_RDONLY) for path in paths]
    try:
        kinds = CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNS
        pairs = ints(*(number for pair in zip(fds, kinds, strict=True) for number in pair))
        said = made(lambda: f"{os.getpid()} {os.stat(fds[0]).st_ino}", pairs, kept=tuple(fds))
        assert said == f"2 {os.stat(paths[0]).st_ino}"
        answer = _sys.clone_joined(0, -1, ints(fds[0], CLONE_NEWUTS, fds[1], CLONE_NEWNS), b"", b"")
        assert answer == (-1, 1, errno.EINVAL)
    finally:
        for fd in fds:
            os.close(fd)
    assert os.readlink("/proc/self/ns/uts") == ours

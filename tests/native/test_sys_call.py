"""ociruntime.kernel._sys.call: kinds of arguments, refusals, results."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from ociruntime.kernel import _sys

X86 = os.uname().machine == "x86_64"
GETPID, READ, WRITE, OPENAT, CLOSE, GETCWD, LSEEK, MMAP, MUNMAP, UNAME = (
    (39, 0, 1, 257, 3, 79, 8, 9, 11, 63) if X86 else (172, 63, 64, 56, 57, 17, 62, 222, 215, 160)
)
AT_FDCWD = -100


def test_result() -> None:
    assert _sys.call(GETPID) == os.getpid()


@pytest.mark.parametrize("fd", [-1, 2**31 - 1])
def test_failure_is_negative_errno(fd: int) -> None:
    assert _sys.call(CLOSE, fd) == -errno.EBADF
    assert _sys.call(2**20) == -errno.ENOSYS


def test_bytes_are_a_c_string(tmp_path: Path) -> None:
    fd = _sys.call(OPENAT, AT_FDCWD, bytes(tmp_path), os.O_RDONLY | os.O_DIRECTORY)
    assert fd >= 0
    assert os.path.samestat(os.fstat(fd), tmp_path.stat())
    os.close(fd)
    assert _sys.call(OPENAT, AT_FDCWD, bytes(tmp_path / "none"), 0) == -errno.ENOENT


def test_buffers_are_memory() -> None:
    name = bytearray(6 * 65)
    assert _sys.call(UNAME, name) == 0
    assert bytes(name[:5]) == b"Linux"
    view = memoryview(bytearray(4096))
    length = _sys.call(GETCWD, view, len(view))
    assert bytes(view[: length - 1]) == os.getcwdb()


def test_view_reaches_into_the_middle() -> None:
    read, write = os.pipe()
    os.write(write, b"abcd")
    target = bytearray(b"........")
    assert _sys.call(READ, read, memoryview(target)[2:], 4) == 4
    assert target == b"..abcd.."
    os.close(read)
    os.close(write)


def test_read_only_view_may_contain_nul() -> None:
    read, write = os.pipe()
    data = b"a\0b"
    assert _sys.call(WRITE, write, memoryview(data), 3) == 3
    assert os.read(read, 8) == data
    os.close(read)
    os.close(write)


def test_buffer_can_be_resized_afterwards() -> None:
    buffer = bytearray(390)
    _sys.call(UNAME, buffer)
    buffer.extend(b"x" * 10_000)


def test_none_is_a_null_pointer() -> None:
    assert _sys.call(UNAME, None) == -errno.EFAULT


def test_six_arguments_and_large_results() -> None:
    address = _sys.call(MMAP, None, 4096, 0, 0x22, -1, 0)
    assert address > 2**32
    assert _sys.call(MUNMAP, address, 4096) == 0


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**63 - 1, -(2**63)])
def test_any_64_bits(value: int) -> None:
    """lseek tells which value arrived: negative offsets are refused, the largest is taken."""
    fd = os.memfd_create("x")
    result = _sys.call(LSEEK, fd, value, os.SEEK_SET)
    os.close(fd)
    assert result == (value if value == 2**63 - 1 else -errno.EINVAL)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**30, -(10**30)])
def test_more_than_64_bits(value: int) -> None:
    with pytest.raises(OverflowError):
        _sys.call(CLOSE, value)


@pytest.mark.parametrize("text", [b"\0", b"/etc\0/passwd", b"/etc/passwd\0"])
def test_nul_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="NUL"):
        _sys.call(OPENAT, AT_FDCWD, text, 0)


@pytest.mark.parametrize("argument", ["/etc", 1.5, [1], {}, object(), struct.Struct("I")])
def test_other_kinds_are_refused(argument: Any) -> None:
    with pytest.raises(TypeError):
        _sys.call(CLOSE, argument)


def test_refusal_releases_earlier_buffers() -> None:
    buffer = bytearray(8)
    with pytest.raises(TypeError):
        _sys.call(READ, 0, buffer, "8")  # type: ignore[arg-type]
    buffer.extend(b"still resizable")


def test_number_of_arguments() -> None:
    with pytest.raises(TypeError):
        _sys.call()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        _sys.call(GETPID, 1, 2, 3, 4, 5, 6, 7)
    with pytest.raises(TypeError):
        _sys.call("getpid")  # type: ignore[arg-type]


def test_ordinary_python_is_not_the_launcher() -> None:
    assert _sys.install_dir is None

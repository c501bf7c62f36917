"""Descriptors that travel over sockets: close-on-exec, and all of them or none."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from ociruntime.kernel.sockets import DescriptorsLost, receive, rights

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


def send(sender: socket.socket, count: int) -> list[int]:
    """Send so many pipes' writing ends; the reading ones."""
    pipes = [os.pipe() for _ in range(count)]
    sender.sendmsg([b"text"], rights([writer for _, writer in pipes]))
    for _, writer in pipes:
        os.close(writer)
    return [reader for reader, _ in pipes]


def test_what_is_received_is_not_inherited(pair: Pair) -> None:
    readers = send(pair[0], 2)
    data, fds = receive(pair[1], 64, most=2)
    assert data == b"text"
    assert [os.get_inheritable(fd) for fd in fds] == [False, False]
    for reader, fd in zip(readers, fds, strict=True):
        os.write(fd, b"x")
        os.close(fd)
        assert os.read(reader, 9) == b"x"
        os.close(reader)


def test_a_message_without_descriptors(pair: Pair) -> None:
    assert send(pair[0], 0) == []
    assert receive(pair[1], 64) == (b"text", [])


@pytest.mark.parametrize("count", [2, 3])
def test_where_some_are_lost_none_is_kept(pair: Pair, count: int) -> None:
    """As with too many open files, of which the kernel tells in the same way (recvmsg(2))."""
    readers = send(pair[0], count)
    with pytest.raises(DescriptorsLost) as caught:
        receive(pair[1], 64, most=count - 1)
    assert caught.value.data == b"text"
    for reader in readers:
        assert os.read(reader, 9) == b"", "a writer is still open"
        os.close(reader)

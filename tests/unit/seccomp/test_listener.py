"""What a seccomp agent receives (config-linux.md#containerprocessstate)."""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError
from ociruntime.seccomp.listener import Agent

STATE = {"ociVersion": "1.3.0", "id": "c", "status": "created", "pid": 42, "bundle": "/b"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.bind(str(tmp_path / "agent.sock"))
        made.listen(1)
        yield made


def receive(connection: socket.socket) -> tuple[bytes, bytes, list[int]]:
    """(first message, all data, descriptors of the first message)."""
    space = socket.CMSG_SPACE(16)
    first, control, _, _ = connection.recvmsg(1 << 16, space)
    fds = array.array("i")
    for _, _, data in control:
        fds.frombytes(data)
    data = first
    while more := connection.recv(1 << 16):
        data += more
    return first, data, list(fds)


def test_one_document_and_the_descriptor_with_the_first_message(server: socket.socket) -> None:
    agent = Agent({"path": server.getsockname(), "metadata": "who=what"})
    connection, _ = server.accept()
    read, write = os.pipe()
    agent.serve(read, 43, STATE)
    assert agent.served
    agent.close()
    with connection:
        first, data, fds = receive(connection)
    assert first == data
    assert json.loads(data) == {
        "ociVersion": "1.3.0",
        "fds": ["seccompFd"],
        "pid": 43,
        "metadata": "who=what",
        "state": STATE,
    }
    assert len(fds) == 1
    assert os.fstat(fds[0]).st_ino == os.fstat(read).st_ino
    for fd in (read, write, *fds):
        os.close(fd)


class Closing:
    """The agent's connection as seen from us; its other end reads what comes first and closes."""

    def __init__(self, inner: socket.socket, connection: socket.socket) -> None:
        self.inner = inner
        self.connection = connection

    def sendmsg(self, *args: Any) -> int:
        sent = self.inner.sendmsg(*args)
        _, control, _, _ = self.connection.recvmsg(1 << 16, socket.CMSG_SPACE(16))
        self.connection.close()
        os.close(int.from_bytes(control[0][2], "little"))
        return sent

    def sendall(self, data: bytes) -> None:
        self.inner.sendall(data)


def test_an_agent_may_close_when_it_has_everything(server: socket.socket) -> None:
    agent = Agent({"path": server.getsockname(), "metadata": ""})
    connection, _ = server.accept()
    agent._socket = Closing(agent._socket, connection)  # type: ignore[assignment]
    agent.serve(0, 1, STATE)
    assert agent.served
    agent._socket.inner.close()  # type: ignore[attr-defined]


def test_an_agent_that_closes_before_it_has_everything_is_an_error(server: socket.socket) -> None:
    agent = Agent({"path": server.getsockname(), "metadata": "m" * (1 << 21)})
    connection, _ = server.accept()
    agent._socket = Closing(agent._socket, connection)  # type: ignore[assignment]
    with pytest.raises(OciError, match="broken pipe"):
        agent.serve(0, 1, STATE)
    assert not agent.served
    agent._socket.inner.close()  # type: ignore[attr-defined]


def test_no_metadata_is_no_member(server: socket.socket) -> None:
    agent = Agent({"path": server.getsockname(), "metadata": ""})
    connection, _ = server.accept()
    agent.serve(0, 1, STATE)
    agent.close()
    with connection:
        _, data, fds = receive(connection)
    assert "metadata" not in json.loads(data)
    os.close(fds[0])


def test_a_state_larger_than_the_socket_s_buffer(server: socket.socket) -> None:
    agent = Agent({"path": server.getsockname(), "metadata": "m" * (1 << 21)})
    connection, _ = server.accept()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(receive(connection)))
    thread.start()
    agent.serve(0, 1, STATE)
    agent.close()
    thread.join()
    connection.close()
    _, data, fds = found[0]
    assert len(json.loads(data)["metadata"]) == 1 << 21
    assert len(fds) == 1
    os.close(fds[0])


def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        directory = os.open(deep, os.O_PATH)
        server.bind(f"/proc/self/fd/{directory}/s")
        os.close(directory)
        server.listen(1)
        Agent({"path": str(deep / "s"), "metadata": ""}).close()


def test_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with pytest.raises(OciError, match="no such file or directory; the seccomp agent must listen"):
        Agent({"path": str(path), "metadata": ""})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
    with pytest.raises(OciError, match=rf"listenerPath {path}: connection refused"):
        Agent({"path": str(path), "metadata": ""})


def test_an_agent_that_hangs_up(server: socket.socket) -> None:
    agent = Agent({"path": server.getsockname(), "metadata": ""})
    connection, _ = server.accept()
    connection.close()
    with pytest.raises(OciError, match=r"listenerPath .* broken pipe"):
        agent.serve(0, 1, STATE)
    assert not agent.served
    agent.close()

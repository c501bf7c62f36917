"""Packets between program and zygote: what goes in comes out."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from ociruntime import errors
from ociruntime.state.store import DamagedStateError
from ociruntime.zygote import wire


def exchange(body: dict[str, Any], fds: list[int]) -> wire.Packet:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        wire.send(left, wire.RESULT, 7, wire.encode(body), fds, pid=42)
        packet = wire.receive(right)
    assert packet is not None
    return packet


@pytest.mark.parametrize("size", [0, 10, wire.INLINE_LIMIT - 14, wire.INLINE_LIMIT, 2_000_000])
def test_body_of_any_size_with_descriptors(size: int) -> None:
    read, write = os.pipe()
    body = {"text": "x" * size, "umlaut": "ü\x1b", "list": [1, None, True]}
    packet = exchange(body, [write])
    os.close(write)
    assert (packet.kind, packet.number, packet.pid) == (wire.RESULT, 7, 42)
    assert packet.body() == body
    (passed,) = packet.fds
    os.write(passed, b"through")
    assert not os.get_inheritable(passed)
    packet.close()
    with open(read, "rb") as file:
        assert file.read() == b"through"


def test_end_of_the_conversation() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.close()
    with right:
        assert wire.receive(right) is None


@pytest.mark.parametrize(
    "error",
    [
        errors.OciError("plain"),
        errors.NotFound("c1"),
        errors.WrongStatus("cannot"),
        errors.StepError("mounts[3] /dev/pts (devpts)", 22, "gid=5 is not mapped"),
        errors.SpecError("bad", pointer="/process/cwd", rule="config.md", hint="write it"),
        errors.PlanError("no", hint="use root"),
        errors.HookError("hook"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way(error: errors.OciError) -> None:
    found = wire.error_from(exchange(wire.error_document(error), []).body())
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


def test_error_of_another_module_becomes_its_base() -> None:
    found = wire.error_from(wire.error_document(DamagedStateError("c1", "cut off")))
    assert type(found) is errors.StateError
    assert "cut off" in str(found)

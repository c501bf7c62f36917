"""Waiting for the process that mounts in a container."""

from __future__ import annotations

import os
import signal

import pytest

from ociruntime.lifecycle.livemounts import hear
from ociruntime.process import patience


def test_one_that_is_stopped_in_there_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pid namespace others in the container may stop it."""
    monkeypatch.setattr(patience, "HELD_SECONDS", 0.0)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.close(writer)
    try:
        with pytest.raises(patience.HeldError, match="stopped by a signal"):
            hear(reader, patience.Patience(pid, "it"))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)


def test_all_that_is_said() -> None:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"x" * 10000)
        os._exit(0)
    os.close(writer)
    assert hear(reader, patience.Patience(pid, "it")) == b"x" * 10000
    os.waitpid(pid, 0)
    os.close(reader)

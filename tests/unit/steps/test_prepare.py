"""What is opened and connected before any process exists (steps/prepare.py)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ociruntime.kernel import sockets


def test_a_listener_that_takes_no_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is full, and nobody looks after it: that is told, instead of waiting for ever."""
    monkeypatch.setattr(sockets, "CONNECT_SECONDS", 1)
    path = tmp_path / "listener"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        os.close(sockets.connect_unix(str(path)))
        before = os.listdir("/proc/self/fd")
        with pytest.raises(TimeoutError, match="takes no connections"):
            sockets.connect_unix(str(path))
        assert os.listdir("/proc/self/fd") == before
        listener.accept()[0].close()
        os.close(sockets.connect_unix(str(path)))

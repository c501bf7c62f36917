"""What is opened and connected before any process exists (steps/prepare.py)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel import sockets
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.spec.tables import NAMESPACES
from ociruntime.steps import prepare


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


def test_a_namespace_of_another_type_is_refused() -> None:
    step = prepare.OpenNamespace(
        "/linux/namespaces/0", "network", "/proc/self/ns/uts", NAMESPACES["network"], foreign=False
    )
    run = Run(Kernel(), [])
    with pytest.raises(OciError, match="a namespace of another type than network"):
        step.execute(run)
    run.close()


def test_the_runtimes_own_namespace_is_not_the_containers_to_change() -> None:
    wanted = "/linux/namespaces/0", "uts", "/proc/self/ns/uts", NAMESPACES["uts"]
    run = Run(Kernel(), [])
    prepare.OpenNamespace(*wanted, foreign=False).execute(run)
    with pytest.raises(OciError, match=r"linux\.sysctl would change the host"):
        prepare.OpenNamespace(*wanted, foreign=True).execute(run)
    run.close()

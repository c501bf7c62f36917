"""One engine of each kind per test process; every scenario runs with runc and with ociruntime."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engines.docker import Docker, DockerWith

RUNTIMES = ("runc", "ociruntime")


@contextmanager
def engine_directory(*programs: str) -> Iterator[Path]:
    """A directory for an engine's sockets and logs; skips the test when a program is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make test installs what can be had)")
    directory = Path(tempfile.mkdtemp(prefix="ocirt-clients-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def dockerd(runtime_binary: Path) -> Iterator[Docker]:
    """The daemon."""
    with engine_directory("dockerd", "tini", "iptables") as directory:
        daemon = Docker(directory, runtime_binary)
        try:
            yield daemon
        finally:
            daemon.close()


@pytest.fixture(params=RUNTIMES)
def docker(request: pytest.FixtureRequest, dockerd: Docker) -> Iterator[DockerWith]:
    """The daemon, and the runtime that this test's containers run with."""
    view = DockerWith(dockerd, request.param)
    yield view
    view.remove_all()

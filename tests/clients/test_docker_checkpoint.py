"""docker checkpoint and start --checkpoint, of an experimental daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import RUNTIMES, engine_directory
from tests.support.criu import criu
from tests.support.engines.docker import Docker, DockerWith

# With every runtime, runc included.
NOT_WITH_THIS = "bind-mount /proc/0/ns/net"
COUNT = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done"


@pytest.fixture(scope="module")
def daemon(runtime_binary: Path) -> Iterator[Docker]:
    """An experimental daemon, which hands CRIU's directory on in PATH."""
    with engine_directory("dockerd", "tini", "iptables") as directory:
        made = Docker(directory, runtime_binary, "--experimental", path=str(criu().parent))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(params=RUNTIMES)
def docker(request: pytest.FixtureRequest, daemon: Docker) -> Iterator[DockerWith]:
    """The daemon, and the runtime that this test's containers run with."""
    view = DockerWith(daemon, request.param)
    yield view
    view.remove_all()


def count(docker: DockerWith, container: str, above: int = -1) -> int:
    """How far it has counted, once that is more than ``above``."""
    found = -1

    def counts() -> bool:
        nonlocal found
        found = int(docker("exec", container, "cat", "/count").stdout.strip() or -1)
        return found > above

    docker.host.wait_until(counts, "the counter", docker.docker.directory / "dockerd.log")
    return found


def test_it_goes_on(docker: DockerWith) -> None:
    """A checkpoint stops the container, and a start from it goes on where it was."""
    container = docker.up("--", "sh", "-c", COUNT)
    reached = count(docker, container, 3)
    docker("checkpoint", "create", "--leave-running", container, "first").check()
    reached = count(docker, container, reached)
    docker("checkpoint", "create", container, "second").check()
    docker.wait_for(
        container, lambda found: not found["State"]["Running"], "the end of the container"
    )
    listed = docker("checkpoint", "ls", container).check().stdout
    assert "first" in listed
    assert "second" in listed
    started = docker("start", "--checkpoint", "second", container)
    if NOT_WITH_THIS in started.stderr:
        pytest.skip("this dockerd makes networks for a process that is not there yet (Docker 28)")
    started.check()
    assert docker.inspect(container)["State"]["Running"]
    count(docker, container, reached)

"""dockerd with userns-remap, and ociruntime as the default runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import RUNTIMES, engine_directory
from tests.support.engines.docker import Docker, DockerWith
from tests.support.engines.image import NAME

OPTIONS = ("--userns-remap", "nobody:nogroup")
MAP = ["0", "200000", "65536"]


@pytest.fixture(scope="module")
def remapping(runtime_binary: Path) -> Iterator[Docker]:
    """The daemon."""
    with engine_directory("dockerd", "tini", "iptables") as directory:
        daemon = Docker(directory, runtime_binary, *OPTIONS, default="ociruntime")
        try:
            yield daemon
        finally:
            daemon.close()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_user_namespace(remapping: Docker, runtime: str) -> None:
    view = DockerWith(remapping, runtime)
    try:
        container = view.up("-v", "named:/named", "--network", "bridge", "--", "sleep", "1000")
        script = """cat /proc/self/uid_map; touch /x /named/x; stat -c %u /x /named/x
            hostname; ip -o -4 addr show eth0 | wc -l"""
        seen = view.shell(container, script).split()
        assert seen == [*MAP, "0", "0", container[:12], "1"]
        pid = view.inspect(container)["State"]["Pid"]
        assert view.host.shell(f"stat -c %u /proc/{pid}") == "200000\n"
    finally:
        view.remove_all()
        view("volume", "rm", "named").check()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_devices(remapping: Docker, runtime: str) -> None:
    """ptmx among them, as for privileged containers, stays the link to the container's own."""
    view = DockerWith(remapping, runtime)
    try:
        # runc has no other name for a device of the host's in a user namespace.
        place = "/dev/full" if runtime == "runc" else "/dev/mine"
        devices = ("--device", "/dev/ptmx", "--device", f"/dev/full:{place}")
        container = view.up(*devices, "--network", "none", "--", "sleep", "1000")
        script = f"readlink /dev/ptmx; stat -c %F {place}; echo x >{place} || echo full"
        seen = view.shell(container, script).splitlines()
        assert seen == ["pts/ptmx", "character special file", "full"]
    finally:
        view.remove_all()


def test_default_runtime(remapping: Docker) -> None:
    """Nothing on the command line names it; --userns host takes one out of the namespace."""
    words = ("--network", "none", "--userns", "host", NAME)
    done = remapping("run", "--rm", *words, "cat", "/proc/self/uid_map").check()
    assert done.stdout.split() == ["0", "0", "4294967295"]
    container = remapping("create", *words, "true").check().output
    runtime = remapping("inspect", "--format", "{{.HostConfig.Runtime}}", container)
    remapping("rm", container).check()
    assert runtime.output == "ociruntime"

"""One engine of each kind per test process."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engines.compared import with_own
from tests.support.engines.containerd import Containerd, ContainerdWith
from tests.support.engines.cri import Cri, MakePod, Pod
from tests.support.engines.docker import Docker, DockerWith
from tests.support.engines.podman import AS_USER, Podman, PodmanWith, RootlessPodman

RUNTIMES = with_own("runc", "ociruntime")
SHIM = "io.containerd.ociruntime.v1"
NODE_OPTIONS = "/run/node.toml"
HANDLERS = ("runc", "ociruntime", "shim")  # of the CRI


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


@pytest.fixture
def docker_shim(dockerd: Docker) -> Iterator[DockerWith]:
    """The daemon, with our own shim in place of Debian's."""
    view = DockerWith(dockerd, SHIM)
    if f"Unknown runtime specified {SHIM}" in view.run("--rm", "--", "true").stderr:
        pytest.skip("this dockerd knows runc's shim only: others came with Docker 23")
    yield view
    view.remove_all()


@pytest.fixture(scope="session")
def podman_host(runtime_binary: Path) -> Iterator[Podman]:
    """The host that podman runs on."""
    with engine_directory("podman", "conmon", "tini", "iptables") as directory:
        host = Podman(directory, runtime_binary)
        try:
            yield host
        finally:
            host.close()


@pytest.fixture(params=RUNTIMES)
def podman(request: pytest.FixtureRequest, podman_host: Podman) -> Iterator[PodmanWith]:
    """podman, and the runtime that this test's containers run with."""
    view = PodmanWith(podman_host, request.param)
    yield view
    view.remove_all()


@pytest.fixture(scope="session")
def rootless_host(runtime_binary: Path) -> Iterator[RootlessPodman]:
    """The host on which a user has podman; skips the test where users have no user namespaces."""
    probe = [*AS_USER, "unshare", "--user", "true"]
    with engine_directory("podman", "crun", "tini", "newuidmap", "slirp4netns") as directory:
        if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
            pytest.skip("this machine lets no user make a user namespace (sysctl, AppArmor)")
        host = RootlessPodman(directory, runtime_binary)
        try:
            yield host
        finally:
            host.close()


@pytest.fixture(params=with_own("crun", "ociruntime"))
def rootless(request: pytest.FixtureRequest, rootless_host: RootlessPodman) -> Iterator[PodmanWith]:
    """The user's podman, and the runtime that this test's containers run with."""
    view = PodmanWith(rootless_host, request.param)
    yield view
    view.remove_all()


@pytest.fixture(scope="session")
def containerd(runtime_binary: Path) -> Iterator[Containerd]:
    """The daemon."""
    with engine_directory("containerd", "ctr", "tini") as directory:
        daemon = Containerd(directory, runtime_binary)
        try:
            yield daemon
        finally:
            daemon.close()


@pytest.fixture(params=with_own("runc", "ociruntime", "shim"))
def ctr(request: pytest.FixtureRequest, containerd: Containerd) -> Iterator[ContainerdWith]:
    """The daemon, and the way in which this test's containers run."""
    view = ContainerdWith(containerd, request.param)
    yield view
    view.remove_all()


@pytest.fixture
def shim(containerd: Containerd) -> Iterator[ContainerdWith]:
    """The daemon with our own shim; none may be left when the test ends."""
    view = ContainerdWith(containerd, "shim")
    yield view
    view.remove_all()
    view.host.wait_until(lambda: not view.shims(), "the end of all shims", containerd.log)


@pytest.fixture
def node(shim: ContainerdWith) -> ContainerdWith:
    """The same, and the options that let its containers share one."""
    shim.host.run("tee", NODE_OPTIONS, stdin='Daemon = "namespace"\n').check()
    return shim


@pytest.fixture(scope="session")
def cri(runtime_binary: Path) -> Iterator[Cri]:
    """A containerd with its CRI service."""
    with engine_directory("containerd", "ctr", "tini", "iptables") as directory:
        service = Cri(directory, runtime_binary)
        try:
            yield service
        finally:
            service.close()


@pytest.fixture(params=HANDLERS)
def pod(request: pytest.FixtureRequest, cri: Cri) -> Iterator[MakePod]:
    """Make a pod of this test's handler: on the host's network unless `network=True`."""
    pods: list[Pod] = []

    def make(*, network: bool = False, **values: object) -> Pod:
        pods.append(Pod(cri, request.param, network=network, **values))
        return pods[-1]

    yield make
    for made in pods:
        made.remove()
        assert made.id not in cri.containerd("-n", "k8s.io", "containers", "ls", "-q").stdout

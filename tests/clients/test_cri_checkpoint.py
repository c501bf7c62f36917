"""CheckpointContainer of the CRI (containerd 2), and a container that is made of a checkpoint."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tests.support.criu import criu
from tests.support.engines import registry
from tests.support.engines.compared import with_own
from tests.support.engines.cri import RUNNING, Cri, Pod
from tests.support.engines.image import write_image

PORT = 80  # what containerd speaks plain HTTP to, on the loopback device
PULLED = f"localhost:{PORT}/counter:latest"
COUNT = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done"
MakePod = Callable[[], Pod]


@pytest.fixture(scope="module")
def service(runtime_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cri]:
    """containerd's CRI service, which hands CRIU's directory to its shims in PATH."""
    from tests.clients.conftest import engine_directory

    with engine_directory("containerd", "ctr", "tini", "iptables") as directory:
        made = Cri(directory, runtime_binary, path=str(criu().parent))
        try:
            refuse_old(made)
            with pulled(made):
                yield made
        finally:
            made.close()


def refuse_old(made: Cri) -> None:
    """Skip the tests where containerd does not know the call at all."""
    with pytest.raises(grpc.RpcError) as caught:
        made("CheckpointContainer", container_id="nobody", location="/nowhere")
    if caught.value.code() is grpc.StatusCode.UNIMPLEMENTED:
        pytest.skip("this containerd has no CheckpointContainer: containerd 2 has")


@contextmanager
def pulled(made: Cri) -> Iterator[None]:
    """The image is there as from a registry: restoring a container asks for it by its digest."""
    layout = made.containerd.directory / "layout"
    layer = write_image(layout.with_suffix(".tar"))
    registry.write_layout(layout, layer.read_bytes(), ["sleep", "1000"])
    inside = ("nsenter", "--target", made.host.init, "--net", "--")
    command = [*inside, sys.executable, "-I", registry.__file__, str(layout), str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            made("PullImage", image={"image": PULLED})
            yield
        finally:
            process.kill()


@pytest.fixture(params=with_own("runc", "ociruntime", "shim"))
def pod(request: pytest.FixtureRequest, service: Cri) -> Iterator[MakePod]:
    """Make a pod of this test's handler."""
    pods: list[Pod] = []

    def make() -> Pod:
        pods.append(Pod(service, request.param, network=False))
        return pods[-1]

    yield make
    for made in pods:
        made.remove()


def count(made: Pod, container: str, above: int = -1) -> int:
    """How far it has counted, once that is more than ``above``."""
    found = -1

    def counts() -> bool:
        nonlocal found
        found = int(made.shell(container, "cat /count").strip() or -1)
        return found > above

    made.host.wait_until(counts, "the counter", made.cri.containerd.log)
    return found


def test_checkpoint(pod: MakePod) -> None:
    """The container goes on; the archive has CRIU's images, and a container is made of it."""
    made = pod()
    image = {"image": PULLED, "user_specified_image": PULLED}
    container = made.start("first", "sh", "-c", COUNT, image=image)
    reached = count(made, container, 3)
    location = f"/var/tmp/{made.name}.tar"
    made.cri("CheckpointContainer", container_id=container, location=location)
    assert made.status(container)["state"] == RUNNING
    count(made, container, reached)
    archive = Path(f"/proc/{made.host.init}/root{location}").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        assert {"checkpoint/inventory.img", "config.dump", "spec.dump"} <= set(file.getnames())
    made.cri("StopContainer", container_id=container, timeout=0)
    again = made.start("again", image={"image": location})
    count(made, again, reached)

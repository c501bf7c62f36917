"""ctr tasks checkpoint, containers checkpoint and restore: by runc's shim and by ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.shim import messages as m
from ociruntime.shim.checkpoints import OPTIONS, OPTIONS_URL
from tests.support.criu import criu
from tests.support.engines.compared import with_own
from tests.support.engines.containerd import Containerd, ContainerdWith
from tests.support.engines.metrics import client

COUNT = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done"


@pytest.fixture(scope="module")
def daemon(runtime_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """containerd, which hands CRIU's directory to its shims in PATH."""
    from tests.clients.conftest import engine_directory

    with engine_directory("containerd", "ctr", "tini") as directory:
        made = Containerd(directory, runtime_binary, path=str(criu().parent))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(params=with_own("runc", "ociruntime", "shim"))
def ctr(request: pytest.FixtureRequest, daemon: Containerd) -> Iterator[ContainerdWith]:
    """The daemon, and the way in which this test's containers run."""
    view = ContainerdWith(daemon, request.param)
    yield view
    view.remove_all()


def count(ctr: ContainerdWith, container: str, above: int = -1) -> int:
    """How far it has counted, once that is more than ``above``."""
    found = -1

    def counts() -> bool:
        nonlocal found
        words = ("tasks", "exec", "--exec-id", f"e{above + 2}", container, "cat", "/count")
        text = ctr(*words).stdout.strip()
        found = int(text or -1)
        return found > above

    ctr.host.wait_until(counts, "the counter", ctr.daemon.log)
    return found


def images_of(ctr: ContainerdWith, container: str, *, leave: bool) -> str:
    """Checkpoint it into a directory: ctr names one to runc's shim only."""
    images = f"/var/tmp/{container}-{int(leave)}"
    if ctr.way != "shim":
        words = [] if leave else ["--exit"]
        ctr("tasks", "checkpoint", "--image-path", images, *words, container).check()
        return images
    options = {"type_url": OPTIONS_URL, "value": OPTIONS.encode({"exit": not leave})}
    with client(ctr, container) as connection:
        values = {"id": container, "path": images, "options": options}
        connection.call("Checkpoint", m.CHECKPOINT, m.EMPTY, **values)
    return images


def test_tasks_checkpoint(ctr: ContainerdWith) -> None:
    """Into a directory; the container goes on, or has stopped."""
    container = ctr.up("--", "sh", "-c", COUNT)
    reached = count(ctr, container)
    images = images_of(ctr, container, leave=True)
    assert ctr.host.shell(f"ls {images}/inventory.img")
    count(ctr, container, reached)
    images_of(ctr, container, leave=False)
    ctr.host.wait_until(
        lambda: ctr.tasks()[container][1] == "STOPPED", "the end of the task", ctr.daemon.log
    )
    ctr("tasks", "delete", container)
    assert container not in ctr.tasks()


def test_containers_restore(ctr: ContainerdWith) -> None:
    """The task of a new container goes on where the other one was, and does not begin before."""
    container = ctr.up("--", "sh", "-c", COUNT)
    reached = count(ctr, container, 3)
    reference = f"checkpoint/{container}:latest"
    words = ("--rw", "--task", "--image", container, reference)
    ctr("containers", "checkpoint", *words).check()
    ctr("tasks", "kill", "--signal", "KILL", container).check()
    ctr.host.wait_until(
        lambda: ctr.tasks()[container][1] == "STOPPED", "the end of the task", ctr.daemon.log
    )
    ctr("tasks", "delete", container)
    ctr("containers", "delete", container).check()
    again = ctr.new_id()
    ctr("containers", "restore", "--live", "--rw", again, reference).check()
    assert ctr.tasks()[again][1] == "RUNNING"
    count(ctr, again, reached)
    ctr("tasks", "kill", "--signal", "KILL", again).check()
    ctr.host.wait_until(
        lambda: ctr.tasks()[again][1] == "STOPPED", "the end of the task", ctr.daemon.log
    )

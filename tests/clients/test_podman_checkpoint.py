"""podman container checkpoint and restore: with the runtime's own CRIU, exported, imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.criu import criu
from tests.support.engines.podman import IMAGE, Podman, PodmanWith

COUNT = "i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.05; done"
TMPFS = ("--tmpfs", "/tmp")


@pytest.fixture
def podman(podman: PodmanWith) -> Iterator[PodmanWith]:
    """podman, which looks for CRIU in PATH."""
    path = podman.host.environment["PATH"]
    podman.host.environment["PATH"] = f"{criu().parent}:{path}"
    yield podman
    podman.host.environment["PATH"] = path


def count(podman: PodmanWith, container: str) -> int:
    return int(podman.shell(container, "cat /tmp/count"))


def wait_beyond(podman: PodmanWith, container: str, before: int) -> int:
    """Wait until it has counted on."""
    log = podman.podman.directory / "host.log"
    podman.host.wait_until(lambda: count(podman, container) > before, "the counter", log)
    return count(podman, container)


def test_it_goes_on(podman: PodmanWith) -> None:
    """Stopped in between, in podman's eyes, and counting where it was afterwards."""
    container = podman.up(*TMPFS, "--memory", "64m", "--", "sh", "-c", COUNT)
    before = wait_beyond(podman, container, 3)
    podman("container", "checkpoint", container).check()
    assert podman.inspect(container)["State"]["Status"] == "exited"
    assert podman.inspect(container)["State"]["Checkpointed"]
    podman("container", "restore", container).check()
    assert podman.inspect(container)["State"]["Status"] == "running"
    wait_beyond(podman, container, before)
    assert podman.shell(container, "hostname") == container[:12]
    assert container[:12] in podman("ps", "-q").check().output
    podman("stop", "--time", "0", container).check()


def test_leave_running(podman: PodmanWith) -> None:
    container = podman.up(*TMPFS, "--", "sh", "-c", COUNT)
    before = wait_beyond(podman, container, 1)
    podman("container", "checkpoint", "--leave-running", container).check()
    wait_beyond(podman, container, before)


def test_exported_and_imported(podman: PodmanWith) -> None:
    """Under another name, with the files that have changed, while the first goes on."""
    archive = f"/var/tmp/{podman.runtime}.tar.gz"
    container = podman.up(*TMPFS, "--", "sh", "-c", f"echo made >/file; {COUNT}")
    before = wait_beyond(podman, container, 3)
    words = ("--leave-running", "--export", archive)
    podman("container", "checkpoint", *words, container).check()
    other = podman("container", "restore", "--import", archive, "--name", "other").check().output
    try:
        wait_beyond(podman, other, before)
        assert podman.shell(other, "cat /file") == "made"
        wait_beyond(podman, container, before)
    finally:
        podman("rm", "--force", "--time", "0", other).check()


def test_imported_elsewhere(podman: PodmanWith, tmp_path: Path) -> None:
    """By the podman of another machine, which has nothing but the image and the archive."""
    archive, image = tmp_path / "away.tar.gz", tmp_path / "image.tar"
    podman("save", "--quiet", "--output", str(image), IMAGE).check()
    container = podman.up(*TMPFS, "--", "sh", "-c", f"echo made >/file; {COUNT}")
    before = wait_beyond(podman, container, 3)
    podman("container", "checkpoint", "--export", str(archive), container).check()
    directory = tmp_path / "host"
    directory.mkdir()
    machine = Podman(directory, podman.podman.runtime)
    try:
        machine.host.environment["PATH"] = podman.host.environment["PATH"]
        away = PodmanWith(machine, podman.runtime)
        away("load", "--quiet", "--input", str(image)).check()
        done = away("container", "restore", "--import", str(archive)).check()
        assert done.output == container
        wait_beyond(away, container, before)
        assert away.shell(container, "cat /file") == "made"
        # As in PodmanWith.remove_all: its own clean-up may be at work.
        words, log = ("rm", "--force", "--time", "0", container), directory / "host.log"
        machine.host.wait_until(lambda: away(*words).status == 0, "the removal", log)
    finally:
        machine.close()


def test_a_volume_and_a_terminal(podman: PodmanWith) -> None:
    podman.host.shell("mkdir -p /var/tmp/data; echo kept >/var/tmp/data/file")
    volume = ("-v", "/var/tmp/data:/data:ro")
    container = podman.up(*TMPFS, *volume, "--tty", "--", "sh", "-c", COUNT)
    before = wait_beyond(podman, container, 3)
    podman("container", "checkpoint", container).check()
    podman("container", "restore", container).check()
    wait_beyond(podman, container, before)
    assert podman.shell(container, "cat /data/file") == "kept"
    assert podman("exec", container, "touch", "/data/new").status

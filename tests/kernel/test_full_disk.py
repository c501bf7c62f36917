"""A full disk under --root and --log: one clear line, nothing left, and no container is stuck."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
PAGES = 16
PAGE = 4096


class Disk:
    """A file system of sixteen pages at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.filling = path / "filling"

    def fill(self, *, free: int = 0) -> None:
        """Leave `free` pages, of those that other files do not use."""
        with self.filling.open("wb", buffering=0) as file:
            try:
                for _ in range(PAGES):
                    file.write(b"x" * PAGE)
            except OSError:
                pass
            file.truncate(file.tell() - free * PAGE)


@pytest.fixture
def disk(sandbox: Sandbox) -> Iterator[Disk]:
    path = sandbox.directory / "disk"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={PAGES * PAGE}", "tmpfs", str(path)]
    subprocess.run(words, check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("free", [0, 1, 2])
def test_create(runtime: Runtime, bundle: MakeBundle, disk: Disk, free: int) -> None:
    """The configuration fits into one page, and each state into another."""
    runtime.root = disk.path / "root"
    disk.fill(free=free)
    refused = runtime.create(bundle())
    assert_clear(runtime, refused, f"--root {runtime.root}", "no space left on device")
    assert list(runtime.root.iterdir()) == []
    assert runtime.state(refused.container).status == 1


def test_a_container_that_is_there_can_be_used_and_deleted(
    runtime: Runtime, bundle: MakeBundle, disk: Disk
) -> None:
    runtime.root = disk.path / "root"
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    disk.fill()
    runtime.start(container).check()
    assert runtime.exec(container, "echo", "alive").check().stdout == "alive\n"
    runtime.call("pause", container).check()
    runtime.call("resume", container).check()
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container).check()
    assert list(runtime.root.iterdir()) == []


def test_log(runtime: Runtime, bundle: MakeBundle, disk: Disk) -> None:
    """What cannot be logged is said on standard error; the command itself does its work."""
    (disk.path / "log").touch()
    disk.fill()
    runtime.global_options = ("--log", str(disk.path / "log"), "--log-format", "json", "--debug")
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    refused = runtime.exec(container, "no-such-program")
    assert refused.status == 255
    assert "executable file not found in $PATH" in refused.stderr
    assert f"--log {disk.path}/log: No space left on device" in refused.stderr
    assert "internal error" not in refused.stderr


def test_pid_file(runtime: Runtime, bundle: MakeBundle, disk: Disk) -> None:
    """It is a file of its own, so it wants a page."""
    disk.fill()
    refused = runtime.create(bundle(), "--pid-file", str(disk.path / "pid"))
    assert_clear(runtime, refused, f"--pid-file {disk.path}/pid", "no space left on device")
    assert [path.name for path in disk.path.iterdir()] == ["filling"]

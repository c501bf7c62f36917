"""The harness itself: containers start and leave nothing, and what does leak is found."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.mounts import mounts_of
from tests.support.patience import PATIENCE
from tests.support.sandbox import MARKER, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

import pytest


@pytest.fixture
def leaky() -> Iterator[Sandbox]:
    """A sandbox of its own, cleaned whatever happens."""
    box = Sandbox()
    yield box
    box.clean()
    assert box.leaks() == []
    assert not box.directory.exists()


def test_run_output(runtime: Runtime, bundle: Callable[..., Bundle]) -> None:
    assert runtime.run_output(bundle(hostname="smoke"), ["hostname"]) == "smoke\n"


def test_lifecycle(runtime: Runtime, bundle: Callable[..., Bundle]) -> None:
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    assert runtime.status(container) == "created"
    runtime.start(container).check()
    assert runtime.status(container) == "running"
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container).check()
    assert not runtime.state(container).ok


def test_clean_sandbox(leaky: Sandbox) -> None:
    assert leaky.leaks() == []


def test_process_is_found_and_killed(leaky: Sandbox) -> None:
    with subprocess.Popen(["sleep", "60"], env={**leaky.environment()}) as child:
        assert leaky.processes() == [child.pid]
        assert [line.split()[0] for line in leaky.leaks()] == ["process"]
        leaky.clean()
        assert child.wait(PATIENCE) == -9


def test_marker_of_another_test_is_not_ours(leaky: Sandbox) -> None:
    with subprocess.Popen(["sleep", "60"], env={MARKER: f"{leaky.prefix}0"}) as child:
        assert leaky.processes() == []
        child.kill()


def test_mount_is_found_and_removed(leaky: Sandbox) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", leaky.tmp], check=True)
    assert leaky.leaks() == [f"mount {leaky.tmp} (tmpfs)"]


def test_mounted_host_directory_survives_cleaning(leaky: Sandbox, sandbox: Sandbox) -> None:
    """Cleaning must never delete through a bind mount that a runtime left."""
    precious = sandbox.directory / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    subprocess.run(["mount", "--bind", precious, leaky.bundles], check=True)
    leaky.clean()
    assert (precious / "file").read_text() == "kept"


def test_cgroup_is_found_and_removed(leaky: Sandbox) -> None:
    hierarchy = next(Path(m.point) for m in mounts_of() if m.fstype.startswith("cgroup"))
    (hierarchy / f"{leaky.prefix}-x" / "below").mkdir(parents=True)
    assert [line.split()[0] for line in leaky.leaks()] == ["cgroup", "cgroup"]


@pytest.mark.parametrize("place", ["tmp", "root"])
def test_file_is_found(leaky: Sandbox, place: str) -> None:
    directory = leaky.tmp if place == "tmp" else leaky.root
    directory.mkdir(exist_ok=True)
    (directory / f"{leaky.prefix}-1").write_text("")
    assert len(leaky.leaks()) == 1


def test_device_is_found_and_removed(leaky: Sandbox) -> None:
    name = leaky.new_device()
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    assert leaky.leaks() == [f"network device {name}"]


def test_orphans_are_buried_by_who_started_the_tests() -> None:
    """And not by the first process of the machine, which may take its time."""
    read, write = os.pipe()
    between = os.fork()
    if between == 0:
        orphan = os.fork()
        if orphan == 0:
            os.close(write)
            time.sleep(PATIENCE)
        os.write(write, str(orphan).encode())
        os._exit(0)
    os.waitpid(between, 0)  # and not for what another test has left to be waited for
    os.close(write)
    pid = int(os.read(read, 20))
    os.close(read)
    parent = parent_of(pid)
    os.kill(pid, signal.SIGKILL)
    above = os.getpid()
    while above > 1 and above != parent:
        above = parent_of(above)
    assert above > 1


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

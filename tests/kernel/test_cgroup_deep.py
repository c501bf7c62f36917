"""Cgroups below a container's own, thousands of levels deep: a container can make them."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.cgroups import tree
from ociruntime.cgroups.files import write_file
from ociruntime.cgroups.v1.freezer import FreezerV1
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import TIMEOUT
from tests.support.sandbox import Sandbox

LEVELS = 1500
# More than this process has open, less than there are levels.
DESCRIPTORS = 200


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """As little room for open files as some callers have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def nest(top: int) -> int:
    """Cgroups in each other below an open one; the innermost, open."""
    here = os.dup(top)
    for _ in range(LEVELS):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = there
    return here


@pytest.mark.usefixtures("few_descriptors")
def test_processes_and_removal(sandbox: Sandbox) -> None:
    kernel = Kernel()
    name = sandbox.new_id()
    root = Path("/sys/fs/cgroup")
    unified = next(
        p for p in (root, root / "unified", root / "pids") if (p / "cgroup.procs").exists()
    )
    (unified / name).mkdir()
    top = os.open(unified / name, os.O_RDONLY | os.O_DIRECTORY)
    parent = os.open(unified, os.O_RDONLY | os.O_DIRECTORY)
    try:
        (unified / name / "beside").mkdir()
        innermost = nest(top)
        with (
            subprocess.Popen(["/bin/sleep", "1000"]) as inner,
            subprocess.Popen(["/bin/sleep", "1000"]) as beside,
        ):
            file = os.open("cgroup.procs", os.O_WRONLY, dir_fd=innermost)
            os.write(file, str(inner.pid).encode())
            os.close(file)
            os.close(innermost)
            (unified / name / "beside/cgroup.procs").write_text(str(beside.pid))
            try:
                found = tree.processes(kernel, top)
                left = tree.remove_tree(kernel, parent, name, time.monotonic())
            finally:
                inner.kill()
                beside.kill()
        assert sorted(found) == sorted((inner.pid, beside.pid))
        assert not left
        assert tree.remove_tree(kernel, parent, name, time.monotonic() + TIMEOUT)
        assert not (unified / name).exists()
        assert tree.remove_tree(kernel, parent, name, time.monotonic())
    finally:
        os.close(top)
        os.close(parent)


@pytest.mark.usefixtures("few_descriptors")
def test_the_frozen_deep_below_thaw(sandbox: Sandbox) -> None:
    """On v1 a process that is frozen there would keep SIGKILL waiting."""
    freezer = Path("/sys/fs/cgroup/freezer")
    if not (freezer / "tasks").exists():
        pytest.skip("needs the freezer of cgroup v1")
    kernel = Kernel()
    name = sandbox.new_id()
    (freezer / name).mkdir()
    top = os.open(freezer / name, os.O_RDONLY | os.O_DIRECTORY)
    parent = os.open(freezer, os.O_RDONLY | os.O_DIRECTORY)
    try:
        innermost = nest(top)
        with subprocess.Popen(["/bin/sleep", "1000"]) as inner:
            try:
                write_file(kernel, innermost, "cgroup.procs", str(inner.pid))
                write_file(kernel, innermost, "freezer.state", "FROZEN")
                inner.kill()
                FreezerV1(kernel, top, name).thaw(deep=True)
                assert inner.wait(TIMEOUT) == -9
            finally:
                write_file(kernel, innermost, "freezer.state", "THAWED")
                os.close(innermost)
        assert tree.remove_tree(kernel, parent, name, time.monotonic() + TIMEOUT)
    finally:
        os.close(top)
        os.close(parent)

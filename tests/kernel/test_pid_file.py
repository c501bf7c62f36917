"""--pid-file where there is something already: only a regular file is replaced."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]


def test_null_device(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    null = tmp_path / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    container = runtime.create(bundle(args=["sleep", "100"]), "--pid-file", str(null)).check()
    runtime.start(container.container).check()
    runtime.exec(container.container, "true", options=["--pid-file", str(null)]).check()
    assert stat.S_ISCHR(null.stat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_fifo(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    made = bundle(args=["sleep", "100"])
    refused = runtime.create(made, "--pid-file", str(fifo))
    assert refused.status == 1
    assert "nobody reads from this FIFO" in refused.stderr
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    container = runtime.create(made, "--pid-file", str(fifo)).check().container
    assert int(os.read(reader, 32)) == runtime.pid(container)
    os.close(reader)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_link_to_a_fifo(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """As /dev/stdout is one."""
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    container = runtime.create(bundle(args=["true"]), "--pid-file", str(link)).check().container
    assert int(os.read(reader, 32)) == runtime.pid(container)
    os.close(reader)
    assert link.is_symlink()


@pytest.mark.parametrize("kind", [stat.S_IFBLK, stat.S_IFDIR])
def test_what_is_refused(runtime: Runtime, bundle: MakeBundle, tmp_path: Path, kind: int) -> None:
    path = tmp_path / "there"
    if kind == stat.S_IFDIR:
        path.mkdir()
    else:
        os.mknod(path, kind | 0o600, os.makedev(7, 255))
    refused = runtime.create(bundle(args=["true"]), "--pid-file", str(path))
    assert refused.status == 1
    assert f"--pid-file {path}" in refused.stderr
    assert "name a file" in refused.stderr
    assert stat.S_IFMT(path.stat().st_mode) == kind


def test_a_failing_create_reads_nothing_special(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path
) -> None:
    """What is in a FIFO is not ours to take, and a device is not ours to remove."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    os.write(reader, b"theirs")
    made = bundle(args=["true"], hooks={"createRuntime": [{"path": "/bin/false"}]})
    assert runtime.create(made, "--pid-file", str(fifo)).status == 1
    assert os.read(reader, 32) == b"theirs"
    os.close(reader)
    assert fifo.exists()


def test_a_name_as_long_as_may_be(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    path.write_text("4711")
    container = runtime.create(bundle(args=["true"]), "--pid-file", str(path)).check().container
    assert int(path.read_text()) == runtime.pid(container)
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_runtime_left(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """It had that pid, and was killed before its file got its name."""
    script = f'read -r line; pid=${{line#*\\"pid\\":}}; echo 4711 >{tmp_path}/.pid-${{pid%%,*}}'
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
    made = bundle(args=["true"], hooks={"createRuntime": [hook]})
    container = runtime.create(made, "--pid-file", str(tmp_path / "pid")).check().container
    assert int((tmp_path / "pid").read_text()) == runtime.pid(container)
    assert os.listdir(tmp_path) == ["pid"]

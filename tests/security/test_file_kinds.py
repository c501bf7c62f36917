"""What lies where we look is opened only if it is of the kind and size that we want."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

KINDS = ("fifo", "socket", "device", "huge", "directory", "symlink loop", "unreadable")


def place(path: Path, kind: str) -> None:
    """Put an object of another kind at `path`, replacing a file there."""
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            here = os.open(path.parent, os.O_PATH)
            made.bind(f"/proc/self/fd/{here}/{path.name}")
            os.close(here)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(5, 0))
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "directory":
        path.mkdir()
    elif kind == "symlink loop":
        path.symlink_to(path.name)
    else:
        path.write_text("x")
        path.chmod(0)


@pytest.mark.parametrize("name", ["etc/passwd", "etc/group"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("uid", [0, 1000])
def test_user_database(
    runtime: Runtime, bundle: MakeBundle, kind: str, name: str, uid: int
) -> None:
    """HOME is looked up in /etc/passwd, if that is a file of some size."""
    made = bundle(process={"user": {"uid": uid, "gid": uid}})
    place(made.rootfs / name, kind)
    output = attempt(runtime, made, "echo $HOME", timeout=PATIENCE)
    assert output is None or output.startswith("/")


@pytest.mark.parametrize("kind", KINDS)
def test_user_database_of_exec(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """The container has exchanged it since it was created."""
    container = runtime.up(bundle(["/bin/sleep", "100"]))
    root = Path(f"/proc/{runtime.pid(container)}/root")
    (root / "etc/passwd").unlink(missing_ok=True)
    place(root / "etc/passwd", kind)
    shell = ("/bin/sh", "-c", "echo $HOME")
    result = runtime.exec(container, *shell, options=["--user", "1000"], timeout=PATIENCE)
    assert result.check().stdout == "/\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mount", ["bind file", "bind directory", "tmpfs"])
def test_mount_target(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str, mount: str
) -> None:
    made = bundle()
    place(made.rootfs / "trap", kind)
    source = sandbox.directory / "source"
    if mount == "bind file":
        source.write_text("x")
    else:
        source.mkdir()
    if mount == "tmpfs":
        made.add_mount("/trap", "tmpfs", "tmpfs", [])
    else:
        made.bind(source, "/trap")
    attempt(runtime, made, "true", timeout=PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_program(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """process.args names something that is no program."""
    made = bundle(args=["/trap"])
    place(made.rootfs / "trap", kind)
    result = runtime.run(made, timeout=PATIENCE)
    assert_clear(runtime, result, "/trap")


@pytest.mark.parametrize("kind", KINDS)
def test_working_directory(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    made = bundle(process={"cwd": "/trap"})
    place(made.rootfs / "trap", kind)
    output = attempt(runtime, made, "pwd", timeout=PATIENCE)
    assert output is None or kind == "directory"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_hidden_path(runtime: Runtime, bundle: MakeBundle, kind: str, key: str) -> None:
    made = bundle(linux={key: ["/trap"]})
    place(made.rootfs / "trap", kind)
    attempt(runtime, made, "true", timeout=PATIENCE)

"""CVE-2024-25621, CVE-2020-15257: state directories and sockets that others can enter."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def test_modes(runtime: Runtime, bundle: MakeBundle) -> None:
    runtime.create(bundle(args=["sleep", "100"])).check()
    for path in [runtime.root, *runtime.root.rglob("*")]:
        info = path.lstat()
        mode = stat.S_IMODE(info.st_mode)
        assert not mode & 0o022, f"{path} is writable by others: {mode:o}"
        assert info.st_uid == 0
        allowed = 0o711 if path.is_dir() else 0o600
        assert not mode & ~allowed, f"{path} has mode {mode:o}"


@pytest.mark.parametrize("verb", ["start", "kill", "delete", "state", "exec"])
def test_other_user(runtime: Runtime, bundle: MakeBundle, verb: str) -> None:
    """Another user can do nothing to the container, and is told so."""
    container = runtime.create(bundle(args=["sleep", "100"])).check().container
    extra = {"kill": ["KILL"], "exec": ["true"]}.get(verb, [])
    result = runtime.call(verb, container, *extra, wrapper=NOBODY)
    assert_clear(runtime, result, status=255 if verb == "exec" else 1)
    assert runtime.status(container) == "created"


def test_sockets(runtime: Runtime, bundle: MakeBundle) -> None:
    """No socket of a waiting container accepts another user: in the file system or abstract."""
    runtime.create(bundle(args=["sleep", "100"])).check()
    names = [
        line.split()[7] for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if len(line.split()) == 8
    ]  # fmt: skip
    ours = [name for name in names if runtime.sandbox.prefix in name]
    assert not [name for name in ours if name.startswith("@")], "an abstract socket has no mode"
    for path in runtime.root.rglob("*"):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            code = (
                f"import socket; s = socket.socket(socket.AF_UNIX, {int(kind)}); "
                f"s.connect({os.fspath(path)!r})"
            )
            done = subprocess.run(
                [*NOBODY, "/usr/bin/python3", "-c", code], capture_output=True, check=False
            )
            assert done.returncode != 0, f"nobody connected to {path}"

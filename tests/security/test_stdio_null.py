"""CVE-2026-88265: stdio is taken for the null device only if it is; nothing else is chowned.

The caller's stdin is a null device of the test's own, so that a chown shows without harm.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox



def _owner(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_uid, info.st_gid


@pytest.mark.parametrize("kind", ["bound file", "symlink", "regular file", "fifo", "zero device"])
@pytest.mark.parametrize("output", ["pipe", "null", "file"])
def test_fake_null(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    sandbox: Sandbox,
    kind: str,
    output: str,
) -> None:
    made = bundle(process={"user": {"uid": 1000, "gid": 1000}}).drop_mounts("/dev")
    made.shell("echo leaked; echo leaked >&2; cat")
    null = made.rootfs / "dev/null"
    volume = sandbox.directory / "volume"
    volume.write_text("")
    if kind == "bound file":
        made.bind(volume, "/dev/null")
    elif kind == "symlink":
        null.symlink_to(canary.file)
    elif kind == "fifo":
        os.mkfifo(null)
    elif kind == "zero device":
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    else:
        null.write_text("")
    device = sandbox.null
    with device.open("r+b", buffering=0) as file:
        out = {"pipe": subprocess.PIPE, "null": file, "file": None}[output]
        result = runtime.run(made, stdin=file, stdout=out, timeout=PATIENCE)
    canary.check()
    assert _owner(device) == (0, 0), "the caller's null device was chowned"
    assert _owner(volume) == (0, 0), "the volume's file was chowned"
    if not result.ok:
        assert_clear(runtime, result)
    elif output == "file":
        assert result.stdout == "leaked\n", "stdout was pointed elsewhere"

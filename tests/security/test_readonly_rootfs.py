"""CVE-2026-115521: a read-only root is read-only before it is attached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

SCRIPT = "touch /made 2>&1; touch /etc/made 2>&1; mkdir /vol/made 2>&1; true"


def _trick(made: Bundle, sandbox: Sandbox, kind: str) -> None:
    fake = sandbox.directory / "fake"
    (fake / "self/fd").mkdir(parents=True)
    for number in range(3, 32):
        (fake / "self/fd" / str(number)).symlink_to("/tmp")
    if kind == "fake proc":
        made.drop_mounts("/proc").bind(fake, "/proc")
    elif kind == "proc mounted over":
        made.bind(fake, "/proc")
    elif kind == "tmpfs on proc":
        made.add_mount("/proc", "tmpfs", "tmpfs", [])
    elif kind == "no proc":
        made.drop_mounts("/proc")
    elif kind == "bind on self":
        made.bind(fake / "self", "/proc/self")


@pytest.mark.parametrize(
    "kind", ["plain", "fake proc", "proc mounted over", "tmpfs on proc", "no proc", "bind on self"]
)
def test_root(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str) -> None:
    volume = sandbox.directory / "volume"
    volume.mkdir()
    made = bundle(root={"readonly": True})
    (made.rootfs / "vol").mkdir()
    _trick(made, sandbox, kind)
    made.bind(volume, "/vol", ["bind", "ro"])
    output = attempt(runtime, made, SCRIPT)
    _assert_untouched(made, volume)
    if output is not None:
        assert output.count("Read-only file system") == 3, output


def _assert_untouched(made: Bundle, volume: Path) -> None:
    assert not (made.rootfs / "made").exists(), "the root is writable"
    assert not (made.rootfs / "etc/made").exists()
    assert not list(volume.iterdir()), "a read-only bind mount is writable"


def test_remount_is_refused_inside(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(root={"readonly": True})
    output = attempt(runtime, made, "mount -o remount,rw / 2>&1; touch /made 2>&1; true")
    assert output is not None
    assert "Read-only" in output

"""CVE-2019-18837, CVE-2025-24965: what we create and mount on is inside, wherever links lead."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_sources_inside, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

UP = "../" * 12
SHAPES = ("absolute", "relative", "parent", "chain", "dangling file")


def _trap(rootfs: Path, canary: Canary, shape: str) -> str:
    """Place symlinks that lead to a new name in the canary; return the destination to mount on."""
    out = f"{canary.path}/made"
    if shape == "absolute":
        (rootfs / "vol").symlink_to(out)
        return "/vol"
    if shape == "relative":
        (rootfs / "mnt/vol").symlink_to(UP + out)
        return "/mnt/vol"
    if shape == "parent":
        (rootfs / "vol").symlink_to(UP + str(canary.path))
        return "/vol/made/deeper"
    if shape == "chain":
        (rootfs / "vol").symlink_to("/mnt/../a")
        (rootfs / "a").symlink_to(UP + "b")
        (rootfs / "b").symlink_to(UP + str(canary.path))
        return "/vol/made"
    (rootfs / "vol").symlink_to(f"{canary.path}/newfile")
    return "/vol"


@pytest.mark.parametrize("kind", ["tmpfs", "bind directory", "bind file", "proc-like mqueue"])
@pytest.mark.parametrize("shape", SHAPES)
def test_mount_target(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    sandbox: Sandbox,
    shape: str,
    kind: str,
) -> None:
    made = bundle()
    target = _trap(made.rootfs, canary, shape)
    source = sandbox.directory / "source"
    source.mkdir()
    (source / "file").write_text("x")
    if kind == "tmpfs":
        made.add_mount(target, "tmpfs", "tmpfs", ["nosuid"])
    elif kind == "bind directory":
        made.bind(source, target)
    elif kind == "bind file":
        made.bind(source / "file", target)
    else:
        made.add_mount(target, "mqueue", "mqueue", ["nosuid"])
    output = attempt(runtime, made, "cat /proc/self/mountinfo")
    canary.check()
    if output is not None:
        assert_sources_inside(output, made.path, source)


@pytest.mark.parametrize("shape", SHAPES)
def test_working_directory(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, shape: str
) -> None:
    """A cwd that does not exist is created: inside."""
    made = bundle()
    made.config["process"]["cwd"] = _trap(made.rootfs, canary, shape)
    attempt(runtime, made, f"pwd; ! test -e {canary.file}")
    canary.check()


@pytest.mark.parametrize("name", ["dev", "dev/pts", "dev/shm", "dev/mqueue", "sys/fs", "sys"])
def test_standard_target(runtime: Runtime, bundle: MakeBundle, canary: Canary, name: str) -> None:
    made = bundle()
    if name.startswith("dev/"):
        made.drop_mounts("/dev").add_mount(f"/{name}", "tmpfs", "tmpfs", [])
    elif name == "sys/fs":
        made.drop_mounts("/sys").add_mount("/sys/fs/cgroup", "tmpfs", "tmpfs", [])
    path = made.rootfs / name
    if path.is_dir():
        path.rmdir()
    path.symlink_to(canary.path)
    attempt(runtime, made, "true")
    canary.check()


@pytest.mark.parametrize("target", ["/../../../../../../canary", "../../canary", "/a/../../../c"])
def test_dots(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, sandbox: Sandbox, target: str
) -> None:
    """`..` in a destination stops at the container's root."""
    made = bundle().add_mount(target, "tmpfs", "tmpfs", [])
    before = sorted(path.name for path in sandbox.bundles.iterdir())
    attempt(runtime, made, "true")
    assert sorted(path.name for path in sandbox.bundles.iterdir()) == before
    canary.check()

"""CVE-2026-41579, CVE-2026-47766: device nodes and links of /dev are made in the root only."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime


@pytest.mark.parametrize("shape", ["absolute", "relative", "chain"])
@pytest.mark.parametrize("config", ["default devices", "own devices", "pts mounted"])
def test_dev(runtime: Runtime, bundle: MakeBundle, canary: Canary, shape: str, config: str) -> None:
    (canary.path / "ptmx").write_text("the host's")
    (canary.path / "pts").mkdir()
    canary.seal()
    made = bundle(args=["/bin/true"]).drop_mounts("/dev")
    if config == "own devices":
        device = {"path": "/dev/made", "type": "c", "major": 1, "minor": 3, "fileMode": 438}
        made.set("/linux/devices", [device])
    if config == "pts mounted":
        made.add_mount("/dev/pts", "devpts", "devpts", ["newinstance", "ptmxmode=0666"])
    (made.rootfs / "dev").rmdir()
    targets = {"absolute": str(canary.path), "relative": "../" * 12 + str(canary.path)}
    (made.rootfs / "dev").symlink_to(targets.get(shape, "mnt/dev"))
    if shape == "chain":
        (made.rootfs / "mnt/dev").symlink_to(f"../../{canary.path}")
    result = runtime.create(made)
    canary.check()
    if result.ok:
        runtime.start(result.container).check()
        canary.check()
    else:
        assert_clear(runtime, result)


@pytest.mark.parametrize("user", [False, True], ids=["made", "bound"])
@pytest.mark.parametrize("link", ["dev", "dev/sub"])
def test_a_volume_behind_a_symlink(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, link: str, user: bool
) -> None:
    """What the host has bound is in the container, and no place for devices all the same."""
    (canary.path / "ptmx").write_text("the host's")
    canary.seal()
    device = {"path": "/dev/sub/made", "type": "c", "major": 1, "minor": 3}
    made = bundle(args=["/bin/true"], linux={"devices": [device]}).drop_mounts("/dev")
    made.bind(canary.path, "/mnt")
    if link == "dev":
        (made.rootfs / "dev").rmdir()
    (made.rootfs / link).symlink_to("/mnt")
    if user:
        mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
        for path in (made.rootfs, *made.rootfs.rglob("*")):
            os.lchown(path, 100_000, 100_000)
        made.add_namespace("user").set("/linux/uidMappings", mapping)
        made.set("/linux/gidMappings", mapping)
    assert_clear(runtime, runtime.create(made), "/dev", "symlink", "mount")
    canary.check()


@pytest.mark.parametrize("behind", ["a tmpfs on /dev", "the rootfs"])
def test_a_dev_that_is_a_symlink_works(runtime: Runtime, bundle: MakeBundle, behind: str) -> None:
    """What it leads to is the config's own /dev, or the image's."""
    device = {"path": "/dev/sub/made", "type": "c", "major": 1, "minor": 3}
    made = bundle(linux={"devices": [device]}).shell("ls -l /system/sub/made /dev/null")
    if behind == "the rootfs":
        made.drop_mounts("/dev")
    (made.rootfs / "dev").rmdir()
    (made.rootfs / "dev").symlink_to("system")
    (made.rootfs / "system").mkdir()
    assert runtime.run(made).check().stdout.count("1,   3") == 2


@pytest.mark.parametrize("path", ["/dev/x/../../../../../made", "/", "/dev/", "/dev/..", "made"])
def test_device_path(runtime: Runtime, bundle: MakeBundle, canary: Canary, path: str) -> None:
    """A device path has a last component, and `..` stops at the root."""
    device = {"path": path, "type": "c", "major": 1, "minor": 3}
    made = bundle(args=["/bin/true"], linux={"devices": [device]})
    before = sorted(entry.name for entry in made.path.iterdir())
    result = runtime.run(made)
    if not result.ok:
        assert_clear(runtime, result)
    made.write()
    assert sorted({*before, "config.json"}) == sorted(entry.name for entry in made.path.iterdir())


@pytest.mark.parametrize("kind", ["regular file", "other device", "symlink to the host"])
def test_existing_device_differs(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, kind: str
) -> None:
    """An existing file that does not match the device is an error (config-linux.md, Devices)."""
    made = bundle(args=["/bin/true"]).drop_mounts("/dev")
    device = {"path": "/dev/made", "type": "c", "major": 1, "minor": 3}
    made.set("/linux/devices", [device])
    path = made.rootfs / "dev/made"
    if kind == "regular file":
        path.write_text("")
    elif kind == "other device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    else:
        path.symlink_to(canary.path / "made")
    result = runtime.run(made)
    canary.check()
    if kind == "symlink to the host" and result.ok:
        assert stat.S_ISCHR(os.lstat(f"{made.rootfs}{canary.path}/made").st_mode)
    else:
        assert_clear(runtime, result, "/dev/made")

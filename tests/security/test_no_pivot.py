"""--no-pivot: the host's /proc and /sys, and the host's root, must not stay within reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_sources_inside, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime


@pytest.mark.parametrize("options", [(), ("--no-pivot",)], ids=["pivot", "no pivot"])
def test_root_stays(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    probe: Path,
    options: tuple[str, ...],
) -> None:
    """Nothing above the container's root can be reached from inside."""
    made = bundle().install(probe, "/probe").add_capabilities("CAP_SYS_CHROOT")
    output = attempt(runtime, made, f"/probe chroot {canary.file}", *options)
    assert output in (None, "not reached\n")


@pytest.mark.parametrize("options", [(), ("--no-pivot",)], ids=["pivot", "no pivot"])
def test_mounts(
    runtime: Runtime, bundle: MakeBundle, canary: Canary, options: tuple[str, ...]
) -> None:
    """What mountinfo shows is the container's; so are procfs and sysfs once unmounted."""
    made = bundle(linux={"maskedPaths": [], "readonlyPaths": []})
    made.add_capabilities("CAP_SYS_ADMIN")
    script = "cat /proc/self/mountinfo; umount -l /sys; ls /sys; umount -l /proc; ls /proc"
    output = attempt(runtime, made, script, *options)
    assert output is not None
    lines = [line for line in output.splitlines() if " - " in line]
    if not options:
        assert_sources_inside("\n".join(lines), made.path)
    assert output.splitlines()[len(lines) :] == [], "something of the host lay below"


def test_user_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    """There nothing of the host can be unmounted."""
    made = bundle()
    for path in (made.rootfs, *made.rootfs.rglob("*")):
        os.chown(path, 100000, 100000, follow_symlinks=False)
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.add_namespace("user")
    made.set("/linux/uidMappings", mapping).set("/linux/gidMappings", mapping)
    assert attempt(runtime, made, "cat /proc/self/uid_map", "--no-pivot") is not None

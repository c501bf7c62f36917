"""--no-pivot: the host's /proc and /sys, and the host's root, must not stay within reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_sources_inside, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("options", [(), ("--no-pivot",)], ids=["pivot", "no pivot"])
def test_escape(
    runtime: Runtime,
    bundle: MakeBundle,
    canary: Canary,
    probe: Path,
    options: tuple[str, ...],
) -> None:
    """The classic escape from chroot(2) ends at the container's own root."""
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


# Mounts procfs at odd places, takes all away, and prints what one would find there.
TAKE_AWAY = r"""import os, subprocess, sys
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.steps.rootfs import host_kernel_filesystems, take_away
top, rootfs = sys.argv[1:3]
def mount(*words):
    subprocess.run(["mount", *words], check=True)
names = ("line\nfeed", "a blank", "form\x0cfeed", "back\\slash", "twice")
odd = [f"{top}/{name}" for name in names]
for place in odd:
    os.mkdir(place)
    mount("-t", "proc", "proc", place)
mount("-t", "tmpfs", "tmpfs", f"{top}/twice")
mount("-t", "proc", "proc", f"{top}/twice")
open(f"{top}/file", "w").close()
mount("--bind", "/proc/version", f"{top}/file")
for name in ("hidden", "of-the-container"):
    os.mkdir(f"{top}/{name}")
    mount("-t", "tmpfs", "tmpfs", f"{top}/{name}")
    os.makedirs(f"{top}/{name}/proc")
    mount("-t", "proc", "proc", f"{top}/{name}/proc")
mount("-t", "tmpfs", "tmpfs", f"{top}/hidden")
kernel = Kernel()
if sys.argv[3:]:
    kernel.unshare(c.CLONE_NEWUSER | c.CLONE_NEWNS)
for place in host_kernel_filesystems(kernel, rootfs):
    take_away(kernel, place)
for place in [*odd, f"{top}/file", f"{top}/of-the-container/proc", "/proc", "/sys"]:
    fd = kernel.open(place, c.O_PATH)
    kind = kernel.filesystem(fd)
    print(ascii(os.path.basename(place)), kind in (c.PROC_SUPER_MAGIC, c.SYSFS_MAGIC))
"""


@pytest.mark.parametrize("namespace", [(), ("user",)], ids=["plain", "user namespace"])
def test_all_kernel_filesystems_are_taken_away(
    sandbox: Sandbox, namespace: tuple[str, ...]
) -> None:
    """Whatever their place is called, and whatever covers them; but not the container's own."""
    directory = sandbox.directory / "odd"
    directory.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", TAKE_AWAY,
         str(directory), str(directory / "of-the-container"), *namespace],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    for line in lines:
        assert line.endswith("False") or line == "'proc' True", done.stdout
    assert lines[-2:] == ["'proc' False", "'sys' False"]

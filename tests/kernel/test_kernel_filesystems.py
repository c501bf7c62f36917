"""What --no-pivot takes away of the host, in a mount namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# Mounts procfs at odd places, takes all away, and prints what one would find there.
TAKE_AWAY = r"""import os, subprocess, sys
from ociruntime.kernel import constants as c
from ociruntime.steps.rootfs import host_kernel_filesystems, take_away
from tests.support.setup import oci_setup
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
with oci_setup() as kernel:
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

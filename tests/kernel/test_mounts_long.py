"""Mounts with values of more than 255 bytes, which fsconfig(2) does not take: mount(2) makes them,
and all else is as with the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.mounts import parse_mountinfo
from tests.support.verdict import assert_clear, attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

    MakeBundle = Callable[..., Bundle]

ROOT = Path(__file__).resolve().parent.parent.parent
# The real step with a kernel in which the mount point's name leads elsewhere as soon as the
# filesystem is mounted: what somebody who shares the rootfs does with a rename.
EXCHANGED = """import os, sys
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.spec.mount_options import parse
from ociruntime.steps.mounts import Mount
from tests.support.setup import oci_setup

root, layers = sys.argv[1:]
run = Run(Kernel(), [])
with oci_setup(run) as kernel:
    mount_here = kernel.mount_here

    def exchanged(*args):
        mount_here(*args)
        kernel.carry_out()
        os.rename(f"{root}/above", f"{root}/moved")
        os.symlink("/other", f"{root}/above")

    kernel.mount_here = exchanged
    run.inroot = InRoot(kernel, kernel.open(root, c.O_PATH | c.O_DIRECTORY))
    options = parse(["ro", "noatime", f"lowerdir={layers}"])
    Mount("/mounts/0", "mounts[0]", "overlay", "overlay", "/above/target", options).execute(run)
    kernel.carry_out()
    print(open("/proc/self/mountinfo").read())
"""


@pytest.fixture
def layers(sandbox: Sandbox) -> str:
    """The value of an overlay's ``lowerdir``: five directories with long names."""
    found = []
    for number in range(5):
        layer = sandbox.directory / (f"layer{number}-" + "x" * 60)
        (layer / "self/attr").mkdir(parents=True)
        (layer / f"file{number}").write_text(f"{number}\n")
        found.append(str(layer))
    text = ":".join(found)
    assert len(text) > 255
    return text


def with_overlay(made: Bundle, layers: str, target: str, *options: str) -> Bundle:
    return made.add_mount(target, "overlay", "overlay", [f"lowerdir={layers}", *options])


def test_it_is_mounted_once_with_all_its_attributes(
    runtime: Runtime, bundle: MakeBundle, layers: str
) -> None:
    options = ("ro", "nodev", "noatime", "rnoexec", "unbindable")
    made = with_overlay(bundle(), layers, "/merged", *options)
    output = attempt(runtime, made, "cat /merged/file0 /merged/file4 /proc/self/mountinfo")
    assert output is not None
    assert output.startswith("0\n4\n")
    (mount,) = [m for m in parse_mountinfo(output[4:]) if m.point == "/merged"]
    assert {"ro", "nodev", "noatime", "noexec"} <= mount.options
    if runtime.is_ours:  # runc 1.1 takes recursive attributes for bind mounts only
        assert "unbindable" in mount.tags


def test_only_a_procfs_may_lie_on_proc(runtime: Runtime, bundle: MakeBundle, layers: str) -> None:
    """CVE-2019-16884, for a mount whose options are long."""
    result = runtime.run(with_overlay(bundle(), layers, "/proc").shell("true"))
    assert_clear(runtime, result, "/proc", "only a proc filesystem")


@pytest.mark.parametrize("nodes", [2, 140])
def test_tmpcopyup(runtime: Runtime, bundle: MakeBundle, nodes: int) -> None:
    """The image's files are copied into a tmpfs; the commas of a list of nodes part no options."""
    made = bundle()
    (made.rootfs / "data").mkdir()
    (made.rootfs / "data/file").write_text("of the image\n")
    policy = "mpol=interleave:" + ",".join(["0"] * nodes)
    made.add_mount("/data", "tmpfs", "tmpfs", [policy, "tmpcopyup", "ro"])
    output = attempt(runtime, made, "cat /data/file; touch /data/x 2>&1; stat -f -c %T /data")
    assert output is not None
    assert output.startswith("of the image\n")
    assert output.endswith("tmpfs\n")
    assert "Read-only" in output


def test_the_target_is_looked_up_once(sandbox: Sandbox, layers: str) -> None:
    """CVE-2021-30465: nothing is done to what the name leads to afterwards."""
    root = sandbox.directory / "root"
    for name in ("above/target", "other/target"):
        (root / name).mkdir(parents=True)
    mounted = 'mount --bind "$2/other/target" "$2/other/target" && exec "$0" -c "$1" "$2" "$3"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted,
         sys.executable, EXCHANGED, str(root), layers],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    mounts = {m.point: m for m in parse_mountinfo(done.stdout.rstrip("\n"))}
    assert {"ro", "noatime"} <= mounts[f"{root}/moved/target"].options
    assert not {"ro", "noatime"} & mounts[f"{root}/other/target"].options

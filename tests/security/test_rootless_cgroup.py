"""CVE-2023-25809: cgroups below a read-only /sys are read-only, too.

The caller owns a delegated cgroup, as systemd gives every user one; the container must not be
able to write to it, or to any cgroup, through its read-only /sys.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.mounts import mounts_of
from tests.support.verdict import attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

NOBODY = 65534
SCRIPT = """
for m in $(awk '/ - cgroup2? /{ print $5 }' /proc/self/mountinfo); do
  for d in $m $(find $m -maxdepth 3 -type d -name 'ocirt*' 2>/dev/null); do
    mkdir $d/made 2>/dev/null && echo "made $d/made" && rmdir $d/made
  done
done
true
"""


@pytest.fixture
def delegated(sandbox: Sandbox) -> Iterator[Path]:
    """A cgroup v2 directory owned by nobody."""
    point = next(mount.point for mount in mounts_of() if mount.fstype == "cgroup2")
    path = Path(point, f"{sandbox.prefix}-user")
    path.mkdir()
    for entry in (path, path / "cgroup.procs", path / "cgroup.subtree_control"):
        os.chown(entry, NOBODY, NOBODY)
    yield path
    path.rmdir()


def _rootless(made: Bundle) -> Bundle:
    """What `spec --rootless` makes, less its cgroup namespace."""
    made.drop_namespace("network").drop_namespace("cgroup").add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", [{"containerID": 0, "hostID": NOBODY, "size": 1}])
    made.remove("/linux/resources").remove("/linux/cgroupsPath")
    made.mount("/dev/pts")["options"].remove("gid=5")
    made.drop_mounts("/sys")
    made.bind("/sys", "/sys", ["rbind", "nosuid", "noexec", "nodev", "ro"])
    made.add_mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "ro"])
    made.remove("/process/rlimits")
    return made


def test_rootless(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, delegated: Path) -> None:
    made = _rootless(bundle())
    for parent, names, files in os.walk(made.path):
        for name in (*names, *files):
            os.chown(os.path.join(parent, name), NOBODY, NOBODY, follow_symlinks=False)
    os.chown(made.path, NOBODY, NOBODY)
    for path in (sandbox.root, sandbox.directory / "run"):
        path.mkdir(mode=0o700)
        os.chown(path, NOBODY, NOBODY)
    os.chown(sandbox.tmp, NOBODY, NOBODY)
    enter = f'echo $$ > {delegated}/cgroup.procs; exec "$@"'
    setpriv = shutil.which("setpriv") or "setpriv"
    identity = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    output = attempt(
        runtime,
        made,
        SCRIPT,
        wrapper=["sh", "-c", enter, "sh", *identity, "--"],
        env={"XDG_RUNTIME_DIR": str(sandbox.directory / "run")},
    )
    assert output in (None, ""), output


@pytest.mark.parametrize("host", [0, 100000])
def test_userns_from_root(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, host: int
) -> None:
    """The same configuration from root; mapped to root itself, only read-only mounts protect."""
    made = _rootless(bundle())
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", [{"containerID": 0, "hostID": host, "size": 65536}])
    made.set("/linux/cgroupsPath", f"/ocirt-test/{made.name}")
    output = attempt(runtime, made, SCRIPT)
    assert output in (None, ""), output

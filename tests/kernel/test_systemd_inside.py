"""systemd as a container's first process, of which images of whole systems take for granted that it
starts. It judges by what is mounted on /sys/fs/cgroup which hierarchies are its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
PROGRAM = Path("/usr/lib/systemd/systemd")
HOST_RUNS_IT = Path("/run/systemd/system").is_dir()
# What boots: one service, none of the units that look after hardware and login.
_UNIT = "[Unit]\nDefaultDependencies=no\n"
UNITS = {
    "default.target": _UNIT + "Requires=own.service\nAfter=own.service\n",
    "own.service": _UNIT + "[Service]\nType=exec\nExecStart=/bin/sleep 1000\n",
}
OPTIONS = ["nosuid", "noexec", "nodev", "relatime", "rw"]


def has_systemd_hierarchy() -> bool:
    """True on v2, and on v1 where the hierarchy exists in which systemd keeps its units."""
    return LAYOUT.mode == "v2" or "name=systemd:" in Path("/proc/self/cgroup").read_text()


pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason="systemd is not installed"),
    pytest.mark.skipif(not has_systemd_hierarchy(), reason="no cgroup v1 hierarchy name=systemd"),
]
DRIVERS = [
    "cgroupfs",
    pytest.param(
        "systemd", marks=pytest.mark.skipif(not HOST_RUNS_IT, reason="systemd does not run here")
    ),
]


@pytest.fixture
def system(bundle: MakeBundle) -> Bundle:
    """A bundle that boots the host's systemd, with what docker and podman need for that: a cgroup
    mount that is not read-only and empty directories for what it writes.
    """
    made = bundle(args=[str(PROGRAM), "--log-target=console"])
    made.mount("/sys/fs/cgroup")["options"] = OPTIONS
    made.config["process"]["env"].append("container=oci")
    units = made.rootfs / "etc/systemd/system"
    units.mkdir(parents=True)
    for name, text in UNITS.items():
        (units / name).write_text(text)
    # Without one it enables every unit of the host's that its presets name.
    (made.rootfs / "etc/machine-id").write_text("1" * 32 + "\n")
    for name in ("usr", "lib", "lib64"):
        shutil.rmtree(made.rootfs / name, ignore_errors=True)
        made.bind(Path("/", name).resolve(), f"/{name}", ("rbind", "ro"))
    for name in ("run", "run/lock", "tmp"):
        made.add_mount(f"/{name}", "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=755"))
    return made


def boot(runtime: Runtime, system: Bundle) -> str:
    """Start it and wait until it has reached its target; returns the container."""
    container = runtime.up(system)
    end = time.monotonic() + TIMEOUT
    answer = None
    while time.monotonic() < end and runtime.status(container) == "running":
        answer = runtime.exec(container, "/usr/bin/systemctl", "is-system-running")
        if answer.stdout.strip() in ("running", "degraded", "maintenance"):
            break
    assert answer is not None, "systemd ended"
    units = runtime.exec(container, "/usr/bin/systemctl", "list-units", "--failed", "--plain")
    assert answer.stdout == "running\n", f"{answer}\n{units.stdout}"
    return container


@pytest.mark.parametrize("namespace", [True, False], ids=["private", "host"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_it_boots(runtime: Runtime, system: Bundle, driver: str, namespace: bool) -> None:
    if driver == "systemd":
        runtime.global_options = ("--systemd-cgroup",)
        system.set("/linux/cgroupsPath", f"system.slice:t:{system.name}")
    if not namespace:
        system.drop_namespace("cgroup")
    container = boot(runtime, system)
    own = runtime.exec(
        container, "/usr/bin/systemctl", "show", "--property=MainPID", "--value", "own.service"
    )
    pid = own.check().stdout.strip()
    found = runtime.exec(container, "cat", f"/proc/{pid}/cgroup").check().stdout.splitlines()
    of_systemd = [line for line in found if line.startswith("0::") or ":name=systemd:" in line]
    assert any(line.endswith("/system.slice/own.service") for line in of_systemd), found
    if namespace:
        mode = "" if LAYOUT.mode == "v2" else "systemd/"
        processes = f"/sys/fs/cgroup/{mode}system.slice/own.service/cgroup.procs"
        assert runtime.exec(container, "cat", processes).check().stdout.split() == [pid]
    runtime.delete(container, "--force").check()


@pytest.mark.skipif(LAYOUT.mode == "v2", reason="not a cgroup v1 or hybrid host")
def test_it_needs_its_own_hierarchy_only(runtime: Runtime, system: Bundle) -> None:
    """What engines leave read-only on v1 must not keep it from booting: every other hierarchy."""
    system.mount("/sys/fs/cgroup")["options"] = [*OPTIONS[:-1], "ro"]
    system.add_capabilities("CAP_SYS_ADMIN")
    remount = "mount -o remount,bind,rw /sys/fs/cgroup/systemd"
    system.shell(f"{remount} && exec {' '.join(system.args)}")
    runtime.delete(boot(runtime, system), "--force").check()

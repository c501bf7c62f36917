"""What the machine can do: the facts that skips are proven with, and a mount table of our own."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CLONE_NEWNS = 0x00020000
CGROUP_ROOT = Path("/sys/fs/cgroup")


class SetupError(Exception):
    """The machine lacks what the suite itself needs; says what and the cure."""


@dataclass(frozen=True)
class Host:
    """Facts about the machine. What the property names say is read from the kernel at first use."""

    busybox: Path

    @cached_property
    def kernel(self) -> str:
        """The kernel's release."""
        return platform.release()

    @cached_property
    def unified(self) -> bool:
        """True if cgroup v2 alone is mounted."""
        return (CGROUP_ROOT / "cgroup.controllers").exists()

    @cached_property
    def cgroup_version(self) -> str:
        """`v2`, or `v1` where controllers hang in hierarchies of their own."""
        return "v2" if self.unified else "v1"

    def controller(self, name: str) -> Path | None:
        """Return where the controller's hierarchy is mounted, None if it is not usable."""
        if self.unified:
            enabled = (CGROUP_ROOT / "cgroup.controllers").read_text().split()
            return CGROUP_ROOT if name in enabled else None
        wanted = {"io": "blkio", "cpu": "cpu"}.get(name, name)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            kind, _, options = right.split(" ", 2)
            if kind == "cgroup" and wanted in options.split(","):
                return Path(left.split()[4])
        return None

    @cached_property
    def apparmor(self) -> bool:
        """True if AppArmor is enabled."""
        path = Path("/sys/module/apparmor/parameters/enabled")
        return path.exists() and path.read_text().strip() == "Y"

    @cached_property
    def selinux(self) -> bool:
        """True if SELinux is enabled."""
        return Path("/sys/fs/selinux/enforce").exists()

    @cached_property
    def resctrl(self) -> Path | None:
        """Where resctrl is mounted, None if it is not."""
        return resctrl()

    @cached_property
    def bounding(self) -> int:
        """The bounding set of this process, which no container can go beyond."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapBnd:"):
                return int(line.split()[1], 16)
        return 0

    @cached_property
    def block_device(self) -> tuple[int, int] | None:
        """Major and minor of a whole disk, None if there is none."""
        for name in ("vda", "sda", "nvme0n1", "xvda"):
            path = Path("/sys/block", name, "dev")
            if path.exists():
                major, minor = path.read_text().strip().split(":")
                return int(major), int(minor)
        return None

    def namespace(self, kind: str) -> bool:
        """Tell whether the kernel has this type of namespace (as in /proc/PID/ns)."""
        return Path("/proc/self/ns", kind).exists()

    def program(self, name: str) -> str | None:
        """Return the path of a program of the host, None if it is not installed."""
        return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")


def resctrl() -> Path | None:
    """Return where resctrl is mounted, None if it is not."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "resctrl":
            return Path(line.split()[1])
    return None


def enter_own_mount_namespace() -> None:
    """Put this process into a mount namespace in which nothing is shared with the host's.

    Every cgroup hierarchy the kernel has in use is mounted in it, as far as the kernel lets us:
    some runtimes insist on seeing those that /proc/self/cgroup names. Must be called before any
    thread is started. Raises SetupError without the privilege.
    """
    if os.geteuid() != 0:
        raise SetupError("the suite makes namespaces, mounts and cgroups: run it as root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise SetupError(f"unshare(CLONE_NEWNS): {os.strerror(ctypes.get_errno())}: run as root")
    _mount("--make-rprivate", "/")
    missing = _missing_hierarchies()
    if missing:
        _mount_hierarchies(missing)


def _missing_hierarchies() -> list[str]:
    """Return the v1 controllers that should be mounted and are not."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return []
    rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    used = [row[0] for row in rows if row[3] == "1" and (row[1] != "0" or row[0] == "hugetlb")]
    host = Host(Path(os.devnull))
    return [name for name in used if host.controller(name) is None]


def _mount_hierarchies(missing: list[str]) -> None:
    """Lay a tmpfs with all hierarchies over /sys/fs/cgroup, whose own one may be read-only."""
    present = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4])
        if point.parent == CGROUP_ROOT and right.startswith("cgroup"):
            present.append(point)
    holder = Path("/run")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(holder))
    for point in present:
        (holder / point.name).mkdir()
        _mount("--bind", str(point), str(holder / point.name))
    for name in missing:
        (holder / name).mkdir()
        try:
            _mount("-t", "cgroup", "-o", name, "cgroup", str(holder / name))
        except SetupError as error:
            # The unified hierarchy holds a controller while one of its cgroups has it enabled.
            (holder / name).rmdir()
            print(f"conformance: goes on without {name}: {error}", file=sys.stderr)
    _mount("--rbind", str(holder), str(CGROUP_ROOT))
    subprocess.run(["umount", "-R", "-l", str(holder)], check=True)


def _mount(*args: str) -> None:
    done = subprocess.run(["mount", *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().partition("\n")[0]
        raise SetupError(f"mount {' '.join(args)}: {reason}")

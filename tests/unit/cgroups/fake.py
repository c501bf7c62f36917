"""A directory that behaves like a cgroup file system as far as groups can tell.

New directories get the files of a cgroup, rmdir takes them along, and processes move when a pid is
written. Everything else goes through the real kernel, so paths, flags and fds are real.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel

FILES = {
    "memory": {
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.memsw.limit_in_bytes": "9223372036854771712\n",
    },
    "cpu": {"cpu.shares": "1024\n", "cpu.cfs_period_us": "100000\n", "cpu.cfs_quota_us": "-1\n"},
    "cpuset": {"cpuset.cpus": "\n", "cpuset.mems": "\n"},
    "pids": {"pids.max": "max\n"},
    "blkio": {"blkio.weight": "500\n"},
    "devices": {"devices.list": "a *:* rwm\n", "devices.allow": "", "devices.deny": ""},
    "freezer": {"freezer.state": "THAWED\n"},
    "unified": {
        "cgroup.controllers": "cpu memory\n",
        "cgroup.subtree_control": "",
        "cgroup.type": "domain\n",
        "cgroup.events": "populated 0\nfrozen 0\n",
        "cgroup.freeze": "0\n",
        "memory.max": "max\n",
        "memory.swap.max": "max\n",
        "memory.current": "4096\n",
    },
}


class FakeCgroups(Kernel):
    """``base`` holds one directory per hierarchy, named after its controller, and ``unified``.

    ``refuse`` maps (file, value), value None for any, to the errno of a write; ``writes`` are the
    (hierarchy, file, value) that were taken, ``busy`` directories that rmdir refuses.
    """

    def __init__(self, base: Path, hierarchies: tuple[str, ...] = tuple(FILES)) -> None:
        self.base = base
        self.refuse: dict[tuple[str, str | None], int] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.busy: dict[str, int] = {}
        self.magic = 0
        for name in hierarchies:
            (base / name).mkdir()
            self.populate(base / name)
        if (base / "cpuset").is_dir():
            (base / "cpuset/cpuset.cpus").write_text("0-1\n")
            (base / "cpuset/cpuset.mems").write_text("0\n")

    def populate(self, directory: Path) -> None:
        """Give a new cgroup its files."""
        hierarchy = directory.relative_to(self.base).parts[0]
        files = {"cgroup.procs": "", "tasks": "", **FILES.get(hierarchy, {})}
        for name, text in files.items():
            (directory / name).write_text(text)

    def path(self, fd: int) -> Path:
        """What an fd refers to."""
        return Path(os.readlink(f"/proc/self/fd/{fd}"))

    def filesystem(self, fd: int) -> int:
        where = self.path(fd).relative_to(self.base).parts[0]
        return self.magic or (c.CGROUP2_SUPER_MAGIC if where == "unified" else c.CGROUP_SUPER_MAGIC)

    def mkdirat(self, directory: int, name: str, mode: int) -> None:
        super().mkdirat(directory, name, mode)
        self.populate(self.path(directory) / name)

    def unlinkat(self, directory: int, name: str, flags: int = 0) -> None:
        path = Path(name) if directory == c.AT_FDCWD else self.path(directory) / name
        if self.busy.get(str(path), 0) > 0:
            self.busy[str(path)] -= 1
            raise OSError(errno.EBUSY, "busy")
        if path.is_dir():
            if any(entry.is_dir() for entry in path.iterdir()):
                raise OSError(errno.ENOTEMPTY, "not empty")
            for entry in path.iterdir():
                entry.unlink()
        super().unlinkat(directory, name, flags)

    def write(self, fd: int, data: bytes) -> int:
        path, value = self.path(fd), data.decode()
        for key in ((path.name, value), (path.name, None)):
            if key in self.refuse:
                raise OSError(self.refuse[key], os.strerror(self.refuse[key]))
        hierarchy = path.relative_to(self.base).parts[0]
        self.writes.append((hierarchy, path.name, value))
        path.write_text(value + "\n")
        return len(data)

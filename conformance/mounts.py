"""Reading mount tables: /proc/PID/mountinfo, whole or below one directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo (proc(5)); octal escapes are undone.

    `tags` are the optional fields without their numbers: shared, master, propagate_from,
    unbindable.
    """

    root: str
    point: str
    options: frozenset[str]
    fstype: str
    source: str
    super_options: frozenset[str]
    tags: frozenset[str] = frozenset()

    @property
    def read_only(self) -> bool:
        """True if the mount or its whole file system refuses writes."""
        return "ro" in self.flags

    @property
    def flags(self) -> frozenset[str]:
        """Options of mount and file system together."""
        return self.options | self.super_options

    @property
    def propagation(self) -> str:
        """How mount events propagate: shared, slave, shared,slave, unbindable or private."""
        names = {"shared": "shared", "master": "slave", "unbindable": "unbindable"}
        return ",".join(names[tag] for tag in names if tag in self.tags) or "private"


def _plain(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts of a mountinfo text, in its order; other lines are passed over."""
    mounts = []
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        if not separator:
            continue
        fields, rest = head.split(" "), tail.split(" ")
        mounts.append(
            Mount(
                root=_plain(fields[3]),
                point=_plain(fields[4]),
                options=frozenset(fields[5].split(",")),
                fstype=rest[0],
                source=_plain(rest[1]),
                super_options=frozenset(rest[2].split(",")),
                tags=frozenset(field.partition(":")[0] for field in fields[6:] if field),
            )
        )
    return mounts


def by_point(text: str) -> dict[str, Mount]:
    """Return the mounts of a mountinfo text by their mount point, the topmost one of each."""
    return {mount.point: mount for mount in parse_mountinfo(text)}


def mounts_of(pid: int | str = "self") -> list[Mount]:
    """Return the mounts in the mount namespace of `pid`; raises OSError when it is gone."""
    return parse_mountinfo(Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape"))


def mounts_below(directories: Sequence[str | Path], pid: int | str = "self") -> list[Mount]:
    """Return the mounts at or below any of `directories`, innermost last."""
    roots = [os.fspath(directory).rstrip("/") for directory in directories]
    return [
        mount
        for mount in mounts_of(pid)
        if any(mount.point == root or mount.point.startswith(root + "/") for root in roots)
    ]

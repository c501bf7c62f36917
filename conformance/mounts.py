"""Mount tables, as /proc/PID/mountinfo has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo: `options` of the mount, `data` of the file system, `tags` of peers."""

    point: str
    root: str
    kind: str
    source: str
    options: frozenset[str]
    data: frozenset[str]
    tags: tuple[str, ...]

    @property
    def flags(self) -> frozenset[str]:
        """Options of mount and file system together."""
        return self.options | self.data

    @property
    def propagation(self) -> str:
        """How mount events propagate: shared, slave, shared,slave, unbindable or private."""
        names = {"shared": "shared", "master": "slave", "unbindable": "unbindable"}
        words = [
            names[tag.partition(":")[0]] for tag in self.tags if tag.partition(":")[0] in names
        ]
        return ",".join(words) or "private"


def parse(text: str) -> dict[str, Mount]:
    """Return mountinfo's mounts by their mount point, the topmost one of each."""
    found = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        if not separator:
            continue
        fields = left.split()
        kind, source, data = [*right.split(" ", 2), "", ""][:3]
        found[fields[4]] = Mount(
            point=fields[4],
            root=fields[3],
            kind=kind,
            source=source,
            options=frozenset(fields[5].split(",")),
            data=frozenset(data.split(",")),
            tags=tuple(fields[6:]),
        )
    return found

"""resctrl, as config-linux.md#intelrdt and Documentation/filesystems/resctrl.rst know it.

A group is a directory with `tasks`, `schemata` and, where the processor can count, `mon_groups`.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A processor has few classes: tests that make one take turns.
turn = threading.Lock()
Schemata = dict[str, dict[str, int]]


def parse(text: str) -> Schemata:
    """Return schemata as {resource: {domain: value}}; bandwidths are decimal, masks are not."""
    found: Schemata = {}
    for line in text.splitlines():
        resource, _, rest = line.strip().partition(":")
        pairs = [item.partition("=") for item in rest.split(";") if "=" in item]
        base = 10 if resource.endswith("MB") else 16
        found[resource] = {domain.strip(): int(value, base) for domain, _, value in pairs}
    return found


class Resctrl:
    """The mounted file system; what the methods are given as `group` is a directory in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def monitors(self) -> bool:
        """True if monitoring groups can be made."""
        return (self.root / "info" / "L3_MON").is_dir()

    def make(self, group: Path) -> None:
        """Make a group; raises OSError where the processor has no class or monitor left."""
        group.mkdir()

    def remove(self, group: Path) -> None:
        """Remove a group, if it is there."""
        try:
            group.rmdir()
        except FileNotFoundError:
            return

    def write(self, group: Path, line: str) -> None:
        """Write a line of schemata; raises OSError where the kernel refuses it."""
        (group / "schemata").write_text(f"{line}\n")

    def schemata(self, group: Path) -> Schemata:
        """Return the schemata of a group, {} if there is no such group."""
        path = group / "schemata"
        return parse(path.read_text()) if path.exists() else {}

    def tasks(self, group: Path) -> set[int]:
        """Return the tasks in a group, none if there is no such group."""
        path = group / "tasks"
        return {int(word) for word in path.read_text().split()} if path.exists() else set()

    def groups(self) -> set[str]:
        """Return the groups there are, as paths from the root."""
        return {str(path.relative_to(self.root)) for path in group_paths(self.root)}

    def lines(self, resource: str, probe: Path) -> list[str]:
        """Return two lines for a resource (L3 or MB) that differ from what a new group has.

        Fewer, where the resource or a class is not there, or does not take two values. Each has
        been written to a group `probe`, which is made for that and removed.
        """
        taken: list[str] = []
        try:
            self.make(probe)
        except OSError:
            return []
        try:
            fresh = self.schemata(probe)
            for value in self._candidates(resource):
                domains = fresh.get(resource, {})
                line = f"{resource}:" + ";".join(f"{name}={value}" for name in domains)
                try:
                    self.write(probe, line)
                except OSError:
                    continue
                seen = self.schemata(probe)
                kept = seen[resource] == parse(line)[resource] != fresh[resource]
                taken += [line] if kept and domains else []
                if len(taken) == 2:
                    break
        finally:
            self.remove(probe)
        return taken

    def _candidates(self, resource: str) -> Iterator[str]:
        """Yield values of a resource that a processor may take."""
        info = self.root / "info" / resource
        if resource == "L3" and info.is_dir():
            least = int((info / "min_cbm_bits").read_text())
            most = int((info / "cbm_mask").read_text(), 16).bit_length()
            yield from (f"{(1 << bits) - 1:x}" for bits in range(least, most))
        elif resource == "MB" and info.is_dir():
            step = int((info / "bandwidth_gran").read_text())
            first = int((info / "min_bandwidth").read_text())
            yield from (str(first + number * step) for number in range(1, 9))

    @contextmanager
    def no_monitors_left(self, prefix: str, most: int = 4096) -> Iterator[bool]:
        """Use up what the processor can monitor; tell whether that succeeded."""
        made: list[Path] = []
        try:
            for number in itertools.islice(itertools.count(), most):
                group = self.root / "mon_groups" / f"{prefix}-used-{number}"
                try:
                    self.make(group)
                except OSError:
                    break
                made.append(group)
            yield len(made) < most
        finally:
            for group in made:
                self.remove(group)


def group_paths(root: Path) -> list[Path]:
    """Return the directories of all groups but the root's, those of monitoring first."""
    classes = [path for path in root.iterdir() if (path / "tasks").exists()]
    monitors = [
        Path(entry.path)
        for above in (root, *classes)
        if (above / "mon_groups").is_dir()
        for entry in os.scandir(above / "mon_groups")
    ]
    return monitors + classes

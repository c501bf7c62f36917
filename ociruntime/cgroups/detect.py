"""Which cgroup hierarchies this host has, where they are mounted and where in them the caller is.

Sources: cgroups(7), "/proc files"; proc_pid_mountinfo(5); Documentation/admin-guide/cgroup-v2.rst,
"Mounting". Two files are read and split, nothing else: this is on the way of every ``create``.
"""

from __future__ import annotations

from ociruntime.cgroups.files import read_path
from ociruntime.kernel.mountinfo import unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.spec.documents import PlanHierarchy, PlanHostCgroups

V1 = "v1"
HYBRID = "hybrid"
V2 = "v2"
NONE = "none"
# Not of the host: the caller's --cgroup-manager.
DISABLED = "disabled"

# Where systemd, every other init system and every container mount the hierarchies.
MOUNTPOINT = "/sys/fs/cgroup"


class Hierarchy:
    """One mounted hierarchy.

    ``key`` is its name as /proc/PID/cgroup spells it: ``memory``, ``cpu,cpuacct``,
    ``name=systemd``, and the empty string for the unified one. ``controllers`` are the resource
    controllers bound to it (none for a named one; for the unified one what its root has to give).
    ``mountpoint`` is its path, ``root`` the cgroup mounted there, ``own`` the caller's cgroup; both
    as the caller's cgroup namespace shows them.
    """

    __slots__ = ("controllers", "key", "mountpoint", "own", "root")

    def __init__(
        self, key: str, controllers: tuple[str, ...], mountpoint: str, root: str, own: str
    ) -> None:
        self.key = key
        self.controllers = controllers
        self.mountpoint = mountpoint
        self.root = root
        self.own = own

    def own_path(self) -> str | None:
        """The caller's cgroup relative to the mountpoint (``/`` or ``/a/b``); None when the mount
        does not show it.
        """
        if self.root == "/":
            return self.own
        if self.own == self.root:
            return "/"
        return self.own[len(self.root) :] if self.own.startswith(self.root + "/") else None

    def as_dict(self) -> PlanHierarchy:
        return {
            "name": self.key,
            "controllers": list(self.controllers),
            "mountpoint": self.mountpoint,
            "root": self.root,
            "own": self.own,
        }


class Layout:
    """The cgroup side of the host: ``mode`` (``v1``, ``hybrid``, ``v2`` or ``none``; ``disabled``
    for who wants none) and the usable hierarchies.

    On a hybrid host the unified hierarchy comes last. On a ``v2`` host it is the only one: a stray
    v1 hierarchy, as some VPN software mounts, is not the runtime's business.
    """

    __slots__ = ("hierarchies", "mode")

    def __init__(self, mode: str, hierarchies: list[Hierarchy]) -> None:
        self.mode = mode
        self.hierarchies = hierarchies

    def find(self, controller: str) -> Hierarchy | None:
        """The hierarchy whose limits files a controller has."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy
        return None

    @property
    def unified(self) -> Hierarchy | None:
        """The cgroup v2 hierarchy of a hybrid or v2 host."""
        for hierarchy in self.hierarchies:
            if not hierarchy.key:
                return hierarchy
        return None

    def as_dict(self) -> PlanHostCgroups:
        return {"mode": self.mode, "hierarchies": [item.as_dict() for item in self.hierarchies]}


def detect(kernel: Kernel) -> Layout:
    """The layout as this process sees it; raises ``OSError`` only when /proc is unreadable."""
    mountinfo = read_path(kernel, "/proc/self/mountinfo")
    layout = parse(mountinfo, read_path(kernel, "/proc/self/cgroup"))
    unified = layout.unified
    if unified is not None:
        text = read_path(kernel, f"{unified.mountpoint}/cgroup.controllers")
        unified.controllers = tuple(text.split())
    return layout


def parse(mountinfo: str, cgroup: str) -> Layout:
    """The layout from the texts of /proc/PID/mountinfo and /proc/PID/cgroup (the unified one
    without controllers).
    """
    lines = mountinfo.split("\n")
    if mountinfo.count(f" {MOUNTPOINT} ") > 1:
        lines = _without_hidden(lines)
    mounts = [_mount(line) for line in lines if " - cgroup " in line or " - cgroup2 " in line]
    first: list[Hierarchy] = []
    unified: Hierarchy | None = None
    for line in cgroup.split("\n"):
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        _, key, own = parts
        own = own.removesuffix(" (deleted)")
        found = _best(mounts, key, own)
        if found is None:
            continue
        names = () if not key or key.startswith("name=") else tuple(key.split(","))
        hierarchy = Hierarchy(key, names, found[1], found[0], own)
        if key:
            first.append(hierarchy)
        else:
            unified = hierarchy
    has_controllers = any(item.controllers for item in first)
    if unified is None:
        return Layout(V1 if has_controllers else NONE, first if has_controllers else [])
    if unified.mountpoint == MOUNTPOINT or not has_controllers:
        return Layout(V2, [unified])
    return Layout(HYBRID, [*first, unified])


def _without_hidden(lines: list[str]) -> list[str]:
    """The lines of mountinfo but for those at or below MOUNTPOINT that another mount there covers.

    What was mounted later is not always listed later: the top of the stack is the one that is
    nobody's parent in it, and seen are its descendants.
    """
    columns = {fields[0]: fields for line in lines if len(fields := line.split(" ", 5)) == 6}
    stack = [number for number, fields in columns.items() if fields[4] == MOUNTPOINT]
    below = {columns[number][1] for number in stack}
    top = [number for number in stack if number not in below]

    def seen(number: str, fields: list[str]) -> bool:
        if fields[4] != MOUNTPOINT and not fields[4].startswith(MOUNTPOINT + "/"):
            return True
        while number in columns and number not in top:
            number = columns[number][1]
        return number in top

    return [" ".join(fields) for number, fields in columns.items() if seen(number, fields)]


def _mount(line: str) -> tuple[str, str, list[str] | None]:
    """(root, mountpoint, options of the superblock or None for cgroup2) of a line of mountinfo."""
    fields, _, rest = line.partition(" - ")
    kind, _, options = rest.split(" ", 2)
    columns = fields.split(" ", 5)
    mounted = None if kind == "cgroup2" else options.split(",")
    return unescape(columns[3]), unescape(columns[4]), mounted


def _best(
    mounts: list[tuple[str, str, list[str] | None]], key: str, own: str
) -> tuple[str, str] | None:
    """(root, mountpoint) of the mount of hierarchy ``key`` that shows most of it, the caller's
    cgroup above all.
    """
    wanted = key.partition(",")[0]
    best: tuple[bool, int, str, str] | None = None
    for root, mountpoint, options in mounts:
        if wanted not in options if options is not None else key:
            continue
        if options is not None and not key:
            continue
        inside = root == "/" or own == root or own.startswith(root + "/")
        candidate = (not inside, len(root), root, mountpoint)
        if best is None or candidate[:2] < best[:2]:
            best = candidate
    return best and best[2:]

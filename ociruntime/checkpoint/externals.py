"""The mounts that come from outside of the container: binds, bound devices, masks, cgroups of v1.

CRIU does not make them but is told where each one is: by a *key*, in the images, which `checkpoint`
gives it and `restore` gives it a mount for. The keys are numbers of ours, made of where the
configuration wants the mount: no name of the container's content is in them, nor one that it leads
to, and none can mean two things (CVE-2026-115520, CVE-2026-119101).
"""

from __future__ import annotations

from ociruntime.digest import digest
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import HostRoot
from ociruntime.kernel.mountinfo import unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel, Stat
    from ociruntime.process.step import Step

NULL = (c.S_IFCHR, 1, 3)


class External:
    """One mount.

    key        its name in the images: ``m`` and a number
    place      the path in the container where the configuration wants it
    kind       ``bind``, ``device``, ``cgroup`` or ``mask``
    pointer    of the step that makes it
    """

    __slots__ = ("key", "kind", "place", "pointer")

    def __init__(self, key: str, place: str, kind: str, pointer: str) -> None:
        self.key = key
        self.place = place
        self.kind = kind
        self.pointer = pointer


def externals(steps: list[Step]) -> list[External]:
    """Those of a plan, in its order; their keys depend on nothing but the places."""
    found: list[External] = []
    seen: dict[str, int] = {}
    for step in steps:
        for place, kind in _places(step):
            occurrence = seen[place] = seen.get(place, 0) + 1
            found.append(External(_key(place, occurrence), place, kind, step.pointer))
    return found


def _key(place: str, occurrence: int) -> str:
    """``m`` and a number of 19 digits at most; two places with one key would need a collision of
    SHA-256's first 60 bits.
    """
    number = int.from_bytes(digest(f"{occurrence}:{place}".encode("utf-8", "surrogateescape"))[:8])
    return f"m{number >> 4}"


def _places(step: Step) -> list[tuple[str, str]]:
    """(place, kind) of what a step mounts from outside."""
    if step.kind == "bind-mount":
        return [(_normal(step.destination), "bind")]  # type: ignore[attr-defined]
    if step.kind == "mask-path":
        return [(_normal(step.path), "mask")]  # type: ignore[attr-defined]
    if step.kind == "make-device" and step.bind:  # type: ignore[attr-defined]
        return [(_normal(step.device.path), "device")]  # type: ignore[attr-defined]
    if step.kind == "mount-cgroup":
        from ociruntime.steps.cgroup_mount import MountCgroup, directory_name

        assert isinstance(step, MountCgroup)
        if step.namespace or step.single:
            return []  # mounts that CRIU makes anew
        place = _normal(step.destination)
        return [(f"{place}/{directory_name(item)}", "cgroup") for item in step.hierarchies]
    return []


def _normal(path: str) -> str:
    """The path with one slash between its parts, and before them."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


class MountTable:
    """The mounts of a process, from its mountinfo, by id: (mount point, attributes), and what is
    mounted there, (file system, path in it).
    """

    __slots__ = ("points", "shown")

    def __init__(self, mountinfo: str) -> None:
        self.points: dict[int, tuple[str, frozenset[str]]] = {}
        self.shown: dict[int, tuple[str, str]] = {}
        for line in mountinfo.split("\n"):
            fields = line.split(" ", 6)
            if len(fields) == 7:
                attributes = frozenset(fields[5].split(","))
                self.points[int(fields[0])] = unescape(fields[4]), attributes
                self.shown[int(fields[0])] = fields[2], unescape(fields[3])

    @classmethod
    def of(cls, kernel: Kernel, pid: int) -> MountTable:
        """That of process ``pid``, as it sees it from its root."""
        fd = kernel.open(f"/proc/{pid}/mountinfo", c.O_RDONLY)
        try:
            return cls(kernel.read_whole(fd).decode("utf-8", "surrogateescape"))
        finally:
            kernel.close(fd)


def root_of(kernel: Kernel, pid: int) -> HostRoot:
    """The inside of the container that process ``pid`` is in; its ``root`` is for the caller to
    close.
    """
    return HostRoot(kernel, kernel.open(f"/proc/{pid}/root", c.O_PATH | c.O_DIRECTORY))


def found_stat(inroot: HostRoot, place: str) -> Stat | None:
    """What is at a place in the container; None for nothing."""
    try:
        fd = inroot.find(place)
    except OSError:
        return None
    try:
        return inroot.kernel.stat(fd)
    finally:
        inroot.kernel.close(fd)


def found_at(kernel: Kernel, pid: int, wanted: list[External]) -> list[dict[str, str]]:
    """For `checkpoint`: CRIU's map from mount points, as they are now, to the keys.

    What a container has unmounted is left out, and so is a masked path that is no /dev/null.
    """
    table = MountTable.of(kernel, pid)
    inroot = root_of(kernel, pid)
    found: dict[str, str] = {}
    try:
        for external in wanted:
            stat = found_stat(inroot, external.place)
            if stat is None or (external.kind == "mask" and not stat.is_device(*NULL)):
                continue
            point = table.points.get(stat.mount_id, ("/",))[0]
            if point != "/":
                found.setdefault(point, external.key)
    finally:
        kernel.close(inroot.root)
    return [{"key": point, "val": key} for point, key in found.items()]

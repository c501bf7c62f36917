"""Plan: which namespaces are made, which are joined, and the id maps."""

from __future__ import annotations

from ociruntime.errors import PlanError
from ociruntime.kernel import constants as c
from ociruntime.spec.idmaps import mappings
from ociruntime.spec.sysctl import sysctl_namespace, sysctl_path
from ociruntime.spec.tables import NAMESPACES
from ociruntime.steps.prepare import OpenNamespace
from ociruntime.steps.spawn import Spawn

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.plan.host import Host
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import Config, LinuxConfig, NamespaceConfig

# Init unshares its cgroup namespace once it is in its cgroup; a time namespace is entered by a
# child only.
NOT_CLONED = c.CLONE_NEWCGROUP | c.CLONE_NEWTIME
# What init unshares as root of its user namespace, where it has one (``UnshareIpc``).
OF_ROOT = c.CLONE_NEWIPC


class NamespacePlan:
    """What later parts of the plan ask about namespaces.

    ``new`` and ``joined`` are type names; ``pointers`` lead to the config's entries.
    ``joins_cgroup`` tells that init itself joins the cgroup namespace, behind the clone.
    Parameters: ``names`` is whether hostname or domainname is to be set.
    """

    __slots__ = (
        "changed",
        "gid_maps",
        "joined",
        "joins_cgroup",
        "new",
        "opens",
        "pointers",
        "spawn",
        "uid_maps",
    )

    def __init__(self, linux: LinuxConfig, host: Host, *, names: bool = False) -> None:
        self.new: list[str] = []
        self.joined: list[tuple[str, int]] = []
        self.opens: list[Step] = []
        self.pointers: dict[str, str] = {}
        sysctls = linux.get("sysctl") or ()
        # What is changed must not be the runtime's own, and so the host's: pivot_root(2) there
        # would move every process of the machine.
        self.changed = {"mount", *(sysctl_namespace(sysctl_path(name)) for name in sysctls)}
        if names:
            self.changed.add("uts")
        for index, entry in enumerate(linux.get("namespaces") or ()):
            self._add(f"/linux/namespaces/{index}", entry)
        # In a user namespace init would lack the rights over a cgroup namespace of the host's.
        cgroup = ("cgroup", c.CLONE_NEWCGROUP)
        self.joins_cgroup = cgroup in self.joined and not self.has("user")
        if self.joins_cgroup:
            self.joined.remove(cgroup)
        self.uid_maps = mappings(linux.get("uidMappings"))
        self.gid_maps = mappings(linux.get("gidMappings"))
        if not self.is_new("user"):
            self.uid_maps = self.gid_maps = []
        flags = 0
        for name in self.new:
            flags |= NAMESPACES[name] & ~NOT_CLONED
        if self.has("user"):
            flags &= ~OF_ROOT
        offsets = time_offsets(linux) if self.is_new("time") else None
        self.spawn = Spawn(
            self.new,
            flags,
            self.joined,
            offsets,
            self.uid_maps,
            self.gid_maps,
            privileged=host.privileged,
        )

    def _add(self, pointer: str, entry: NamespaceConfig) -> None:
        name, path = entry["type"], entry.get("path")
        self.pointers[name] = pointer
        if path:
            flag = NAMESPACES[name]
            foreign = name in self.changed
            self.opens.append(OpenNamespace(pointer, name, path, flag, foreign=foreign))
            self.joined.append((name, flag))
        else:
            self.new.append(name)

    def has(self, name: str) -> bool:
        """Whether the container is in a namespace other than the runtime's."""
        return name in self.pointers

    def is_new(self, name: str) -> bool:
        return name in self.new


def time_offsets(linux: LinuxConfig) -> str:
    """The text for /proc/self/timens_offsets (time_namespaces(7))."""
    lines = []
    offsets = linux.get("timeOffsets") or {}
    for clock, offset in (
        ("monotonic", offsets.get("monotonic")),
        ("boottime", offsets.get("boottime")),
    ):
        if offset:
            lines.append(f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n")
    return "".join(lines)


def needs_root(config: Config, host: Host) -> bool:
    """Whether no user namespace gives this caller the rights that creating the container needs."""
    namespaces = (config.get("linux") or {}).get("namespaces") or ()
    return host.euid != 0 and all(entry["type"] != "user" for entry in namespaces)


def require_host_rights(host: Host, plan: NamespacePlan) -> None:
    """Unprivileged callers need a user namespace: say so before anything is tried."""
    if host.euid == 0 or plan.has("user"):
        return
    raise PlanError(
        "this needs root: the config has no user namespace",
        "/linux/namespaces",
        "run as root, or make a config for this user with `ociruntime spec --rootless`",
    )

"""Plan: which user namespaces the idmapped mounts take their mappings from, each made once."""

from __future__ import annotations

from ociruntime.errors import PlanError
from ociruntime.process.run import idmap_fd, namespace_fd
from ociruntime.spec.idmaps import mappings

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.plan.host import Host
    from ociruntime.plan.namespaces import NamespacePlan
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import MountConfig
    from ociruntime.spec.mount_options import MountOptions

    Mapping = tuple[int, int, int]


class Idmaps:
    """Collects in ``steps`` what has to be made, on the host side, before the mounts."""

    __slots__ = ("_made", "host", "namespaces", "steps")

    def __init__(self, namespaces: NamespacePlan, host: Host) -> None:
        self.namespaces = namespaces
        self.host = host
        self.steps: list[Step] = []
        self._made: list[tuple[list[Mapping], list[Mapping]]] = []

    def name_for(
        self, pointer: str, label: str, entry: MountConfig, options: MountOptions
    ) -> str:
        """The name in ``Run.fds`` of the user namespace for the mount ``entry``, empty when it is
        not to be idmapped.

        Mappings of its own, also those inside the option, count as the option idmap; without them
        the mount takes those of the container's user namespace. Raises ``PlanError`` where the
        caller may not idmap anything.
        """
        if not (options.idmap or entry.get("uidMappings")):
            return ""
        uids, gids = mappings(entry.get("uidMappings")), mappings(entry.get("gidMappings"))
        if options.idmap_text:
            # Imported for the configs that need it; spec/semantic has found what is wrong in it.
            from ociruntime.spec.idmap_option import mappings_of

            plan = self.namespaces
            uids, gids = mappings_of(options.idmap_text, plan.uid_maps, plan.gid_maps)
        if not self.host.privileged:
            raise PlanError(
                f"{label}: only root of the host may make idmapped mounts",
                pointer,
                "remove idmap and the mount's mappings, or run as root",
            )
        if options.remount or (entry.get("type") or "").startswith("cgroup"):
            what = "the option remount" if options.remount else "a cgroup filesystem"
            raise PlanError(f"{label}: {what} cannot be idmapped", pointer, "remove idmap")
        if not uids:
            if not self.namespaces.is_new("user"):
                return self._joined(pointer, label)
            uids, gids = self.namespaces.uid_maps, self.namespaces.gid_maps
        return self._make(pointer, label, uids, gids)

    def _joined(self, pointer: str, label: str) -> str:
        if not self.namespaces.has("user"):
            raise PlanError(
                f"{label}: idmap without mappings, and the container has no user namespace",
                pointer,
                "add uidMappings and gidMappings to the mount",
            )
        return namespace_fd("user")

    def _make(self, pointer: str, label: str, uids: list[Mapping], gids: list[Mapping]) -> str:
        if (uids, gids) not in self._made:
            # Imported for the configs that need it.
            from ociruntime.steps.idmap import MakeIdmap

            self._made.append((uids, gids))
            name = idmap_fd(len(self._made) - 1)
            self.steps.append(MakeIdmap(pointer, label, name, uids, gids))
        return idmap_fd(self._made.index((uids, gids)))

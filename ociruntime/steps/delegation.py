"""Giving the container its own cgroup (config-linux.md, "Cgroup ownership").

A container with a cgroup namespace of its own and a writable /sys/fs/cgroup may manage the cgroups
below its own, on cgroup v2 alone: on v1 that is not secure.
"""

from __future__ import annotations

from ociruntime.cgroups.explain import NOT_ALLOWED
from ociruntime.cgroups.files import read_path
from ociruntime.plan.namespaces import host_id
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.plan.namespaces import NamespacePlan
    from ociruntime.process.run import Run

    Config = dict[str, Any]

DESTINATION = "/sys/fs/cgroup"
# What the kernel says may be given away (cgroups(7)), and what that is on kernels that do not say.
DELEGATE = "/sys/kernel/cgroup/delegate"
FALLBACK = "cgroup.procs cgroup.subtree_control cgroup.threads"
UNCHANGED = -1


class DelegateCgroup(Step):
    """Make ``uid`` of the host the owner of the container's cgroup and of the files in it that are
    to be delegated, and of nothing else.

    With ``tolerant`` (an unprivileged caller) a refusal is a warning: the container cannot make
    cgroups then, and all else works.
    """

    __slots__ = ("before", "delegate", "tolerant", "uid")

    kind = "delegate-cgroup"

    def __init__(self, uid: int, *, tolerant: bool, delegate: str = DELEGATE) -> None:
        super().__init__("/linux/cgroupsPath", "cgroup ownership")
        self.uid = uid
        self.tolerant = tolerant
        self.delegate = delegate
        self.before: list[tuple[str, int]] = []

    def describe(self) -> str:
        return f"give the container's cgroup to user {self.uid}, as far as {self.delegate} lists"

    def operands(self) -> dict[str, object]:
        return {"uid": self.uid, "tolerant": self.tolerant}

    def execute(self, run: Run) -> None:
        group = run.cgroup
        place = group.placement.unified if group is not None else None
        if group is None or place is None:
            return
        directory = group.directory(place)
        names = (read_path(run.kernel, self.delegate) or FALLBACK).split()
        try:
            # The directory last: until then nobody else can rename or add anything.
            for name in [*names, ""]:
                try:
                    owner = run.kernel.stat(directory, name).uid
                    run.kernel.fchownat(directory, name, self.uid, UNCHANGED)
                except FileNotFoundError:
                    continue  # of a controller that this cgroup does not have
                self.before.append((name, owner))
        except OSError as error:
            if not self.tolerant or error.errno not in NOT_ALLOWED:
                raise
            run.warnings.append(f"{self.label}: {place.directory} cannot be given away: {error}")

    def undo(self, run: Run) -> None:
        """A cgroup that was there before stays, and gets its owner back."""
        group = run.cgroup
        place = group.placement.unified if group is not None else None
        if group is None or place is None or place.existing < len(place.parts):
            return
        for name, owner in reversed(self.before):
            run.kernel.fchownat(group.directory(place), name, owner, UNCHANGED)


def plan_delegation(config: Config, namespaces: NamespacePlan, *, privileged: bool) -> list[Step]:
    """The step behind ``CreateCgroup``, for the configs that ask for it, on v2. Pure."""
    if not namespaces.is_new("cgroup"):
        return []
    if not any(_is_writable(entry) for entry in config.get("mounts") or ()):
        return []
    inside = ((config.get("process") or {}).get("user") or {}).get("uid", 0)
    if namespaces.has("user"):
        # Of a namespace that is joined the mappings are not known here.
        uid = host_id(namespaces.uid_maps, inside)
    else:
        uid = inside
    if uid is None or (uid == 0 and privileged):
        return []
    return [DelegateCgroup(uid, tolerant=not privileged)]


def _is_writable(entry: dict[str, Any]) -> bool:
    options = [option for option in entry.get("options") or () if option in ("ro", "rw")]
    return (
        entry.get("source") == "cgroup"
        and entry["destination"].rstrip("/") == DESTINATION
        and options[-1:] != ["ro"]
    )

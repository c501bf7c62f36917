"""Giving the container its own cgroup (config-linux.md, "Cgroup ownership").

A container with a cgroup namespace of its own and a writable /sys/fs/cgroup may manage the cgroups
below its own, on cgroup v2 alone: on v1 that is not secure.
"""

from __future__ import annotations

from ociruntime.cgroups.explain import NOT_ALLOWED
from ociruntime.cgroups.files import read_path
from ociruntime.process.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.run import Run


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


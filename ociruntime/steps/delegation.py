"""Giving the container its own cgroup (config-linux.md, "Cgroup ownership"), and putting it into
one below (run.oci.delegate-cgroup of crun(1)).

A container with a cgroup namespace of its own and a writable /sys/fs/cgroup may manage the cgroups
below its own, on cgroup v2 alone: on v1 that is not secure.
"""

from __future__ import annotations

from ociruntime.cgroups import tree
from ociruntime.cgroups.explain import NOT_ALLOWED, explain_write
from ociruntime.cgroups.files import read_path, write_file
from ociruntime.cgroups.v2.controllers import hand_down, make_levels
from ociruntime.errors import StepError
from ociruntime.process.step import Step
from ociruntime.steps.cgroup import created

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.kernel.kernel import Kernel
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
        try:
            give(run.kernel, group.directory(place), self.uid, self.delegate, self.before)
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



class EnterDelegated(Step):
    """Move the container's processes, by now in their cgroup namespace, from the container's cgroup
    into the one below that the config names, and hand down every controller to that.

    So the container's cgroup is the root of their namespace and has the limits, and is free to
    have children with controllers, whatever the container makes of its own. At restore the
    processes are those that CRIU has made. ``owner`` is the step that gives the container's cgroup
    away, which is done to this one as well; None where it stays root's.
    """

    __slots__ = ("names", "owner")

    kind = "enter-delegated-cgroup"

    def __init__(self, names: list[str], owner: DelegateCgroup | None) -> None:
        super().__init__("/annotations/run.oci.delegate-cgroup", "run.oci.delegate-cgroup")
        self.names = names
        self.owner = owner

    def describe(self) -> str:
        return f"move the process into {'/'.join(self.names)} below the container's cgroup"

    def operands(self) -> dict[str, object]:
        return {"names": self.names}

    def execute(self, run: Run) -> None:
        group, kernel = created(run), run.kernel
        place = group.placement.unified
        assert place is not None
        own = group.directory(place)
        levels = make_levels(kernel, own, place.directory, self.names, self.label)
        paths = [place.directory]
        paths += [f"{paths[0]}/{'/'.join(self.names[: i + 1])}" for i in range(len(levels))]
        try:
            self._move(run, tree.members(kernel, own), levels[-1], paths[-1])
            for level, path in zip([own, *levels[:-1]], paths, strict=False):
                hand_down(kernel, level, path, group.withheld)
            self._give(run, levels, paths[-1])
        finally:
            for fd in levels:
                kernel.close(fd)

    def _move(self, run: Run, pids: list[int], cgroup: int, path: str) -> None:
        for pid in pids:
            try:
                write_file(run.kernel, cgroup, "cgroup.procs", str(pid))
            except ProcessLookupError:
                continue  # it has ended
            except OSError as error:
                number = error.errno or 0
                label = f"{self.label}: cgroup {path} (cgroup.procs)"
                detail = explain_write("cgroup.procs", "", number)
                raise StepError(label, number, detail) from None

    def _give(self, run: Run, levels: list[int], path: str) -> None:
        owner = self.owner
        if owner is None:
            return
        try:
            for level in levels:
                give(run.kernel, level, owner.uid, owner.delegate, [])
        except OSError as error:
            if not owner.tolerant or error.errno not in NOT_ALLOWED:
                raise
            run.warnings.append(f"{self.label}: {path} cannot be given away: {error}")


def give(
    kernel: Kernel, cgroup: int, uid: int, delegate: str, before: list[tuple[str, int]]
) -> None:
    """Give a cgroup and what is to be delegated of it to ``uid``; (name, owner until now) of each
    is added to ``before``. Raises ``OSError``.
    """
    names = (read_path(kernel, delegate) or FALLBACK).split()
    # The directory last: until then nobody else can rename or add anything.
    for name in [*names, ""]:
        try:
            owner = kernel.stat(cgroup, name).uid
            kernel.fchownat(cgroup, name, uid, UNCHANGED)
        except FileNotFoundError:
            continue  # of a controller that this cgroup does not have
        before.append((name, owner))

"""The host's side of control groups: making the container's cgroup, putting init into it, limits.

Devices, CPU sets and real-time budgets are set before hooks and rootfs work; all other limits at
the very end, when only the tiny waiting init is inside, so that 512 KiB of memory or one process
are limits one can live with.
"""

from __future__ import annotations

import errno

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import V2
from ociruntime.cgroups.devices import POINTER as DEVICES
from ociruntime.cgroups.explain import NOT_ALLOWED
from ociruntime.cgroups.files import read_optional
from ociruntime.cgroups.join import join_self
from ociruntime.cgroups.path import POINTER
from ociruntime.errors import StepError
from ociruntime.process.run import hierarchy_fd
from ociruntime.process.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.group import Group
    from ociruntime.cgroups.path import Place, Placement
    from ociruntime.cgroups.setting import Setting
    from ociruntime.process.run import Run
    from ociruntime.spec.documents import ResourcesDeviceConfig

    Entry = ResourcesDeviceConfig

RESOURCES = "/linux/resources"
# The names, in ``Run.fds``, of what a clone joins a cgroup with: this and the name of the
# hierarchy.


class CreateCgroup(Step):
    """Make the container's cgroup in every hierarchy; ``run.cgroup`` is it from here on.

    With ``tolerant`` (an unprivileged caller that asks for neither limits nor a path) a refusal is
    a warning, and the container stays in the caller's cgroup.
    """

    __slots__ = ("placement", "tolerant")

    kind = "create-cgroup"
    stage = "prepare"

    def __init__(self, placement: Placement, *, tolerant: bool) -> None:
        super().__init__(POINTER, "cgroup")
        self.placement = placement
        self.tolerant = tolerant

    def describe(self) -> str:
        if not self.placement.places:
            return "use no cgroup: this host has none"
        unit = self.placement.unit
        if unit is not None:
            whose = "the user's systemd" if unit.user else "systemd"
            below = f", with the cgroup {'/'.join(unit.subgroup)} in it" if unit.subgroup else ""
            return f"have {whose} start {unit.name} in {unit.slice}{below}"
        paths = dict.fromkeys(place.directory for place in self.placement.places)
        return "create cgroup " + ", ".join(paths)

    def operands(self) -> dict[str, object]:
        paths: dict[str, object] = dict(self.placement.paths)
        unit = {} if self.placement.unit is None else {"unit": self.placement.unit.as_dict()}
        return {"mode": self.placement.mode, "paths": paths, "tolerant": self.tolerant, **unit}

    def execute(self, run: Run) -> None:
        group = run.cgroup = open_group(run.kernel, self.placement)
        try:
            group.survey()
            self._refuse_shared()
            self._save(run)
            group.create()
            self._save(run)
        except (StepError, OSError) as error:
            number = error.number if isinstance(error, StepError) else error.errno
            if not self.tolerant or number not in NOT_ALLOWED:
                raise
            group.remove()
            run.warnings.append(f"the container stays in the runtime's own cgroup: {error}")
            self.placement.places.clear()
            self._save(run)
        for key, fd in group.open_to_join().items():
            run.fds[hierarchy_fd(key)] = fd
        run.host_fds += group.fds()

    def _refuse_shared(self) -> None:
        """What hands controllers down can have no process again, so only one that ends with the
        container gets a delegated cgroup.
        """
        place = self.placement.unified
        if not self.placement.delegated or self.placement.unit is not None or place is None:
            return
        if place.existing == len(place.parts):
            detail = "it is there already, and run.oci.delegate-cgroup needs one of the container's"
            detail += " own; choose another linux.cgroupsPath"
            raise StepError(f"cgroup {place.directory}", 0, detail)

    def _save(self, run: Run) -> None:
        """Write down what will be ours before it exists, so that ``delete`` finds it whatever
        happens to us.
        """
        state = self.placement.as_dict()
        if run.container is not None and run.container.data.get("cgroup") != state:
            run.container.data["cgroup"] = state
            run.container.save()

    def undo(self, run: Run) -> None:
        if run.cgroup is not None:
            run.cgroup.remove(kill=True)


class OpenCgroup(Step):
    """Open the cgroup of a container that exists already, for ``exec``.

    Parameters: ``init`` is its first process, ``user`` whether a user namespace is joined,
    ``chosen`` whether the caller has named the cgroup: then it is that one or none.
    """

    __slots__ = ("chosen", "init", "placement", "user")

    kind = "open-cgroup"
    stage = "prepare"

    def __init__(
        self, placement: Placement, init: int, *, user: bool, chosen: bool = False
    ) -> None:
        super().__init__(POINTER, "cgroup")
        self.placement = placement
        self.init = init
        self.user = user
        self.chosen = chosen

    def describe(self) -> str:
        return "open the container's cgroup"

    def operands(self) -> dict[str, object]:
        return {"mode": self.placement.mode, "paths": dict(self.placement.paths)}

    def execute(self, run: Run) -> None:
        group = run.cgroup = open_group(run.kernel, self.placement)
        places = self.placement.places
        for index, place in enumerate(places):
            try:
                self._open(run, group, place)
            except FileNotFoundError:
                places[index] = self._successor(run, group, place)
        if not self.chosen:
            self._give_way(run, group)
        if self.user:
            group.prefer_file()
            unified = self.placement.unified
            if group.by_file and unified is not None:
                try:
                    run.fds[hierarchy_fd(unified.key)] = group.open_file(unified)
                except PermissionError:
                    group.by_file = False  # then with the rights that the namespace gives

    @staticmethod
    def _open(run: Run, group: Group, place: Place) -> None:
        if place.key:
            run.fds[hierarchy_fd(place.key)] = group.open_file(place)
        else:
            group.directory(place)

    def _successor(self, run: Run, group: Group, place: Place) -> Place:
        """Where the first process is, whose own cgroup somebody on the host has removed."""
        from ociruntime.cgroups.inner import of_process

        other = None if self.chosen else of_process(run.kernel, place, self.init)
        try:
            if other is not None:
                self._open(run, group, other)
                return other
        except FileNotFoundError:
            pass
        detail = "there is no such cgroup; make it first, or correct the path"
        raise StepError(f"cgroup {place.directory}", errno.ENOENT, detail) from None

    def _give_way(self, run: Run, group: Group) -> None:
        """Follow the container's first process where the container's own cgroup must be empty."""
        place = self.placement.unified
        if place is None or self.placement.mode != V2:
            return
        divided = read_optional(run.kernel, group.directory(place), "cgroup.subtree_control")
        if not divided and not self.placement.delegated:
            return
        from ociruntime.cgroups.inner import of_first_process

        other = of_first_process(run.kernel, place, self.init)
        if other is not None:
            group.close()
            self.placement.places[self.placement.places.index(place)] = other


class JoinCgroup(ContainerStep):
    """Init puts itself into the v1 cgroups, before it does anything else; into a unified one it was
    cloned, unless that is somebody else's.

    Its files are opened by the host side, so that no path is looked up in here.
    """

    __slots__ = ("placement",)

    kind = "join-cgroup"
    stage = "attach"

    def __init__(self, placement: Placement) -> None:
        super().__init__(POINTER, "cgroup")
        self.placement = placement

    def describe(self) -> str:
        return "put the container's first process into its cgroups"

    def operands(self) -> dict[str, object]:
        return {"hierarchies": [place.key for place in self.placement.places if place.key]}

    def execute(self, run: Run) -> None:
        for place in to_join(run, self.placement):
            join_self(run.inner, place, run.fds[hierarchy_fd(place.key)])


def to_join(run: Run, placement: Placement) -> list[Place]:
    """The places for which there is a file to join them by."""
    return [place for place in placement.places if hierarchy_fd(place.key) in run.fds]


class ApplyDevices(Step):
    """Limit access to devices, before any hook or process of the container could use one."""

    __slots__ = ("rules",)

    kind = "limit-devices"
    stage = "prepare"

    def __init__(self, rules: list[Entry]) -> None:
        super().__init__(DEVICES, "linux.resources.devices")
        self.rules = rules

    def describe(self) -> str:
        return f"limit access to devices: {len(self.rules)} rules and the default ones"

    def execute(self, run: Run) -> None:
        group = created(run)
        if group.placement.places:
            group.apply_devices(self.rules)


class ApplyLimits(Step):
    """Write resource limits, when nothing but the waiting init is inside."""

    __slots__ = ("settings",)

    kind = "limit-resources"
    stage = "finish"

    def __init__(self, settings: list[Setting]) -> None:
        super().__init__(RESOURCES, "linux.resources")
        self.settings = settings

    def describe(self) -> str:
        return "limit " + ", ".join(f"{item.file} = {item.value}" for item in self.settings)

    def operands(self) -> dict[str, object]:
        names = ("controller", "file", "value", "pointer")
        return {
            "settings": [dict(zip(names, item.as_tuple(), strict=True)) for item in self.settings]
        }

    def execute(self, run: Run) -> None:
        created(run).apply(self.settings)


class ApplyEarlyLimits(ApplyLimits):
    """Write what has to be there before a process can join: CPU sets, real-time budgets."""

    __slots__ = ()

    kind = "limit-resources-early"
    stage = "prepare"


def created(run: Run) -> Group:
    """The group; only steps behind ``CreateCgroup`` ask for it."""
    assert run.cgroup is not None
    return run.cgroup


"""Mounts of type ``cgroup`` and ``cgroup2``: the container's view of its control groups.
 On a v2 host the destination becomes a cgroup2 mount. On v1 and hybrid hosts it becomes what it is
on the host: a tmpfs with one mount for each hierarchy and symlinks for controllers that share one
(config-linux.md; cgroups(7)).
 In a cgroup namespace the mounts are new ones, whose root the kernel puts at the container's
cgroup. Without one they are copies of the container's own directories, taken on the host side; the
rest of the tree is not in the container at all. Whenever neither is possible an empty read-only
tmpfs hides what is there (CVE-2023-25809).
"""

from __future__ import annotations

import errno

from ociruntime.cgroups.detect import V2
from ociruntime.errors import PlanError
from ociruntime.kernel import constants as c
from ociruntime.kernel.mountfd import new_filesystem
from ociruntime.plan.step import ContainerStep, Step
from ociruntime.steps.mounts import explain_target, find_target, set_attributes, set_propagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.detect import Hierarchy, Layout
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions

    Config = dict[str, Any]

TYPES = ("cgroup", "cgroup2")
TMPFS_OPTIONS = ["mode=755", "size=1m"]


class OpenCgroupSource(Step):
    """Take detached copies of the container's cgroup directories, without a cgroup namespace."""

    __slots__ = ("hierarchies",)

    kind = "open-cgroup-source"

    def __init__(self, pointer: str, label: str, hierarchies: list[str]) -> None:
        super().__init__(pointer, label)
        self.hierarchies = hierarchies

    def describe(self) -> str:
        return f"open the container's cgroup directories for {self.label}"

    def execute(self, run: Run) -> None:
        group = run.cgroup
        assert group is not None
        for place in group.placement.places:
            try:
                run.fds[source_name(self.pointer, place.key)] = run.kernel.open_tree(
                    group.directory(place), "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH
                )
            except PermissionError:
                run.warnings.append(f"{self.label}: left empty: the caller may not bind cgroups")
                return


class MountCgroup(ContainerStep):
    """Mount the container's cgroups on ``destination``.

    Parameters: ``hierarchies`` are those to show, ``single`` whether the destination is itself
    the mount of the only one, ``namespace`` whether init has a new cgroup namespace by then,
    ``label_option`` linux.mountLabel as an option of the tmpfs, empty without one.
    """

    __slots__ = ("destination", "hierarchies", "namespace", "options", "single", "tmpfs")

    kind = "mount-cgroup"

    def __init__(
        self,
        pointer: str,
        label: str,
        destination: str,
        options: MountOptions,
        hierarchies: list[Hierarchy],
        *,
        single: bool,
        namespace: bool,
        label_option: str,
    ) -> None:
        super().__init__(pointer, label)
        self.tmpfs = [*TMPFS_OPTIONS, label_option] if label_option else TMPFS_OPTIONS
        self.destination = destination
        self.options = options
        self.hierarchies = hierarchies
        self.single = single
        self.namespace = namespace

    def describe(self) -> str:
        names = ", ".join(directory_name(item) for item in self.hierarchies) or "nothing"
        what = "cgroup2" if self.single else f"a tmpfs with the cgroup hierarchies {names}"
        how = "read-only " if self.options.read_only else ""
        return f"mount {what} {how}on {self.destination}"

    def operands(self) -> dict[str, object]:
        names = [directory_name(item) for item in self.hierarchies]
        return {
            "destination": self.destination,
            "hierarchies": names,
            "namespace": self.namespace,
            "tmpfs": self.tmpfs,
        }

    def execute(self, run: Run) -> None:
        target = find_target(run.inside(), self.destination, directory=True)
        try:
            if self.single:
                self._mount_single(run, target)
            else:
                self._mount_all(run, target)
        finally:
            run.kernel.close(target)

    def _mount_single(self, run: Run, target: int) -> None:
        mount = self._hierarchy(run, self.hierarchies[0]) if self.hierarchies else -1
        if mount < 0:
            self._hide(run, target)
        else:
            self._attach(run, mount, target)
            run.kernel.close(mount)

    def _mount_all(self, run: Run, target: int) -> None:
        kernel = run.kernel
        tmpfs = new_filesystem(kernel, "tmpfs", "tmpfs", self.tmpfs)
        names = {directory_name(item): item for item in self.hierarchies}
        for name, item in names.items():
            kernel.mkdirat(tmpfs, name, 0o755)
            for controller in item.controllers:
                if controller not in names:
                    kernel.symlinkat(name, tmpfs, controller)
        self._attach(run, tmpfs, target)
        for name, item in names.items():
            mount = self._hierarchy(run, item)
            if mount >= 0:
                directory = kernel.openat(tmpfs, name, c.O_PATH | c.O_DIRECTORY | c.O_NOFOLLOW)
                self._attach(run, mount, directory)
                kernel.close(directory)
                kernel.close(mount)
        kernel.close(tmpfs)

    def _attach(self, run: Run, mount: int, target: int) -> None:
        set_attributes(run.kernel, mount, self.options)
        run.kernel.move_mount(mount, target)
        set_propagation(run.kernel, mount, self.options)

    def _hierarchy(self, run: Run, item: Hierarchy) -> int:
        """A detached mount of one hierarchy that shows the container's cgroup as its root; -1 when
        not allowed.
        """
        if not self.namespace:
            return run.fds.pop(source_name(self.pointer, item.key), -1)
        # Attributes only, no flags of the superblock: that one is the host's.
        try:
            if item.key:
                return new_filesystem(run.kernel, "cgroup", "cgroup", item.key.split(","))
            return new_filesystem(run.kernel, "cgroup2", "cgroup2", [])
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                raise
            run.warnings.append(f"{self.label}: {directory_name(item)} cannot be mounted: {error}")
            return -1

    def _hide(self, run: Run, target: int) -> None:
        """Cover what is at the destination: a recursive bind of /sys brings the host's cgroups
        along.
        """
        kernel = run.kernel
        tmpfs = new_filesystem(kernel, "tmpfs", "tmpfs", self.tmpfs, c.MOUNT_ATTR_RDONLY)
        kernel.move_mount(tmpfs, target)
        kernel.close(tmpfs)

    def explain(self, number: int) -> str:
        if number == errno.ENODEV:
            return "the kernel has no such cgroup hierarchy"
        return explain_target(number, self.destination)


def directory_name(hierarchy: Hierarchy) -> str:
    """The hierarchy's directory below the destination: as on the host."""
    return hierarchy.mountpoint.rpartition("/")[2]


def source_name(pointer: str, key: str) -> str:
    """The name, in ``Run.fds``, of a detached copy for the mount ``pointer``."""
    return f"{pointer}:{key}"


def plan_cgroup_mount(
    pointer: str,
    label: str,
    destination: str,
    options: MountOptions,
    layout: Layout,
    *,
    own_namespace: bool,
    filesystem: str = "cgroup",
    label_option: str = "",
) -> MountCgroup:
    """Plan one mount; ``plan_sources`` has the steps that open what it needs.

    Parameters: ``filesystem`` is ``cgroup``, which means what the host has, or ``cgroup2``;
    ``own_namespace`` whether the container has a new cgroup namespace; ``label_option`` as
    ``MountCgroup`` has it. Raises ``PlanError`` for
    cgroup2 on a host without it.
    """
    shown = layout.hierarchies
    single = layout.mode == V2
    if filesystem == "cgroup2" and not single:
        shown, single = [item for item in shown if not item.key], True
        if not shown:
            raise PlanError(
                f"{label}: this host has no cgroup v2 (cgroups: {layout.mode})",
                f"{pointer}/type",
                'use type "cgroup"',
            )
    return MountCgroup(
        pointer,
        label,
        destination,
        options,
        shown,
        single=single,
        namespace=own_namespace,
        label_option=label_option,
    )


def plan_sources(config: Config, layout: Layout) -> list[Step]:
    """The host side of all cgroup mounts of a config without a new cgroup namespace.

    To be executed behind ``CreateCgroup``, which makes the directories, and before the clone.
    """
    namespaces = (config.get("linux") or {}).get("namespaces") or ()
    if any(item["type"] == "cgroup" and not item.get("path") for item in namespaces):
        return []
    keys = [item.key for item in layout.hierarchies]
    return [
        OpenCgroupSource(f"/mounts/{index}", f"mounts[{index}] {entry['destination']}", keys)
        for index, entry in enumerate(config.get("mounts") or ())
        if entry.get("type") in TYPES
    ]

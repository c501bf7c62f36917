"""Mounts of type ``cgroup`` and ``cgroup2``: the container's view of its control groups.

On a v2 host the destination becomes a cgroup2 mount. On v1 and hybrid hosts it becomes a writable
tmpfs with one mount for each hierarchy of v1 and symlinks for controllers that share one
(config-linux.md; cgroups(7)). A hybrid host's unified hierarchy is left out, as by runc and crun:
an init system inside would take it for its own, and may not write to it.

In a cgroup namespace the mounts are new ones, whose root the kernel puts at the namespace's root.
Without one the unified hierarchy is the host's whole tree, and those of v1 are copies of the
container's own directories. A copy is a slave of the host's mount: nothing that is mounted below it
reaches the host. Whenever none of these is possible an empty read-only tmpfs hides what is there
(CVE-2023-25809).
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.mountfd import clone_path
from ociruntime.process.step import ContainerStep, Step
from ociruntime.steps.mounts import explain_target, find_target
from ociruntime.steps.touches import set_attributes, set_propagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.cgroups.detect import Hierarchy
    from ociruntime.kernel.inside import Inside
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions


TMPFS_OPTIONS = ["mode=755", "size=1m"]
# The cgroup namespace is of another user namespace, or the hierarchy is mounted with other options.
NOT_HERE = (errno.EPERM, errno.EACCES, errno.EBUSY)


class OpenCgroupSource(Step):
    """Take detached copies of cgroup directories, for ``MountCgroup`` where nothing new can be
    mounted.

    Parameters: ``hierarchies`` are those to copy, ``whole`` whether the unified one is copied from
    its root (else, and always on v1, it is the container's own directory), ``side`` who may copy:
    a caller without privileges over the host's mounts has init do it.
    """

    __slots__ = ("hierarchies", "side", "whole")

    kind = "open-cgroup-source"

    def __init__(
        self, pointer: str, label: str, hierarchies: list[Hierarchy], *, whole: bool, side: str
    ) -> None:
        super().__init__(pointer, label)
        self.hierarchies = hierarchies
        self.whole = whole
        self.side = side

    def describe(self) -> str:
        names = ", ".join(directory_name(item) for item in self.hierarchies)
        return f"open the cgroup directories for {self.label}: {names}"

    def execute(self, run: Run) -> None:
        kernel = run.kernel_of(self.side)
        group = run.cgroup
        assert group is not None
        own = group.placement.paths
        for item in self.hierarchies:
            if self.whole and not item.key:
                path = item.mountpoint
            else:
                # Without a cgroup of its own the container stays in the runtime's.
                path = own.get(item.key) or item.mountpoint + (item.own_path() or "")
            try:
                with kernel.at_once():
                    mount = clone_path(kernel, c.AT_FDCWD, path, recursive=False)
            except PermissionError:
                run.warnings.append(f"{self.label}: left empty: the caller may not bind cgroups")
                return
            run.fds[source_name(self.pointer, item.key)] = mount
            # With the host's propagation, a mount below it would appear on the host.
            kernel.mount_setattr(mount, propagation=c.MS_SLAVE)


class MountCgroup(ContainerStep):
    """Mount the container's cgroups on ``destination``.

    Parameters: ``hierarchies`` are those to show, ``single`` whether the destination is itself
    the mount of the only one, ``namespace`` whether init is in another cgroup namespace by then,
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
        target = find_target(run.inside(), self.destination, self.options, directory=True)
        if self.single:
            self._mount_single(run, target)
        else:
            self._mount_all(run, target)
        run.inner.close(target)

    def _mount_single(self, run: Run, target: int) -> None:
        kernel = run.inner
        if not self.hierarchies:
            self._hide(run, target)
            return
        item = self.hierarchies[0]
        copy = run.fds.get(source_name(self.pointer, item.key), -1)
        if copy < 0:
            # It is hidden where it cannot be mounted: one of both is left out.
            kernel.carry_out()
            warnings = len(run.warnings)
            first = kernel.position()
            mount = self._new(kernel, item, self._warn(run, item))
            self._attach(kernel, mount, target)
            kernel.close(mount)
            kernel.skip_from(first)
            kernel.carry_out()
            if len(run.warnings) > warnings:
                self._hide(run, target)
            return
        mount = self._hierarchy(kernel, item, copy)
        self._attach(kernel, mount, target, is_new=mount is not copy)
        kernel.close(mount)

    def _mount_all(self, run: Run, target: int) -> None:
        kernel = run.inner
        tmpfs = kernel.new_filesystem("tmpfs", "tmpfs", self.tmpfs)
        names = {directory_name(item): item for item in self.hierarchies}
        for name, item in names.items():
            kernel.mkdirat(tmpfs, name, 0o755)
            for controller in item.controllers:
                if controller not in names:
                    kernel.symlinkat(name, tmpfs, controller)
        self._attach(kernel, tmpfs, target, writable=True)
        for name, item in names.items():
            copy = run.fds.get(source_name(self.pointer, item.key), -1)
            first = kernel.position()
            if copy < 0:
                if item.key and not self.namespace:
                    continue
                mount = self._new(kernel, item, self._warn(run, item))
            else:
                mount = self._hierarchy(kernel, item, copy)
            directory = kernel.openat(tmpfs, name, c.O_PATH | c.O_DIRECTORY | c.O_NOFOLLOW)
            self._attach(kernel, mount, directory, is_new=mount is not copy)
            kernel.close(directory)
            kernel.close(mount)
            if copy < 0:
                kernel.skip_from(first)
        kernel.close(tmpfs)

    def _attach(
        self,
        kernel: Inside,
        mount: int,
        target: int,
        *,
        writable: bool = False,
        is_new: bool = True,
    ) -> None:
        """Attach one mount; the option ``ro`` is about the hierarchies, not the tmpfs they are in,
        where an init system makes links.
        """
        set_ = self.options.attr_set & ~c.MOUNT_ATTR_RDONLY if writable else self.options.attr_set
        set_attributes(kernel, mount, self.options, set_, is_new=is_new)
        kernel.move_mount(mount, target)
        set_propagation(kernel, mount, self.options)

    def _warn(self, run: Run, item: Hierarchy) -> Callable[[int], None]:
        def note(number: int) -> None:
            name = directory_name(item)
            reason = f"[Errno {number}] {os.strerror(number)}"
            run.warnings.append(f"{self.label}: {name} cannot be mounted: {reason}")

        return note

    def _new(
        self, kernel: Inside, item: Hierarchy, note: Callable[[int], None] | None = None
    ) -> int:
        """A detached new mount of one hierarchy; where that is not allowed, the operations up to
        ``skip_from`` are left out.
        """
        kind = "cgroup" if item.key else "cgroup2"
        # Attributes only, no flags of the superblock: that one is the host's.
        options = item.key.split(",") if item.key else []
        return kernel.new_filesystem(kind, kind, options, tolerated=NOT_HERE, note=note)

    def _hierarchy(self, kernel: Inside, item: Hierarchy, copy: int) -> int:
        """A detached mount of one hierarchy of which there is a copy."""
        if item.key and not self.namespace:
            return copy
        refused: list[int] = []
        mount = self._new(kernel, item, refused.append)
        kernel.carry_out()
        if refused:
            return copy
        kernel.close(copy)
        return mount

    def _hide(self, run: Run, target: int) -> None:
        """Cover what is at the destination: a recursive bind of /sys brings the host's cgroups
        along.
        """
        kernel = run.inner
        tmpfs = kernel.new_filesystem("tmpfs", "tmpfs", self.tmpfs, c.MOUNT_ATTR_RDONLY)
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

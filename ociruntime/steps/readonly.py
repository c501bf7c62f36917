"""A read-only tmpfs, or whatever is read-only on /dev (podman's infra containers,
`--read-only-tmpfs=false`): mount points, devices, the console and what createContainer hooks make
are made in it first, as in runc and crun.

It becomes read-only through a descriptor of the mount, not by its path (CVE-2026-115521).
"""

from __future__ import annotations

from ociruntime.kernel import constants as c
from ociruntime.process.step import ContainerStep
from ociruntime.steps.mounts import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run


class MountWritable(Mount):
    """Mount the filesystem of ``mount`` without its option ``ro``, until ``MakeReadonly``."""

    __slots__ = ()

    def __init__(self, mount: Mount) -> None:
        super().__init__(
            mount.pointer,
            mount.label,
            mount.filesystem,
            mount.source,
            mount.destination,
            mount.options,
        )
        self.options.attr_set &= ~c.MOUNT_ATTR_RDONLY
        self.options.sb_flags = [flag for flag in self.options.sb_flags if flag != "ro"]

    def keep(self, run: Run, mount: int) -> None:
        super().keep(run, mount)
        run.mounts[self.pointer] = run.inner.open_tree(mount, "", c.AT_EMPTY_PATH)


class MakeReadonly(ContainerStep):
    """The option ``ro`` of a ``MountWritable``."""

    __slots__ = ("destination",)

    kind = "make-readonly"
    stage = "masks"

    def __init__(self, mount: MountWritable) -> None:
        super().__init__(mount.pointer, mount.label)
        self.destination = mount.destination

    def describe(self) -> str:
        return f"make the filesystem on {self.destination} read-only"

    def execute(self, run: Run) -> None:
        mount = run.mounts.pop(self.pointer)
        run.inner.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY)
        run.inner.close(mount)

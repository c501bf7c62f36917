"""A read-only tmpfs, or whatever is read-only on /dev (podman's infra containers,
`--read-only-tmpfs=false`): mount points, devices, the console and what createContainer hooks make
are made in it first, as in runc and crun.

It becomes read-only through a descriptor of the mount, not by its path (CVE-2026-115521).
"""

from __future__ import annotations

from ociruntime.kernel import constants as c
from ociruntime.process.step import ContainerStep
from ociruntime.steps.touches import Keep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run
    from ociruntime.process.step import Step
    from ociruntime.steps.mounts import Mount


def writable_first(mount: Mount) -> Step:
    """Leave the option ``ro`` to a step that comes later; returns that."""
    mount.options.attr_set &= ~c.MOUNT_ATTR_RDONLY
    mount.options.sb_flags = [flag for flag in mount.options.sb_flags if flag != "ro"]
    mount.touches.append(Keep([mount.pointer]))
    return MakeReadonly(mount.pointer, mount.label, mount.destination)


class MakeReadonly(ContainerStep):
    """The option ``ro`` of a mount that was writable first."""

    __slots__ = ("destination",)

    kind = "make-readonly"
    stage = "masks"

    def __init__(self, pointer: str, label: str, destination: str) -> None:
        super().__init__(pointer, label)
        self.destination = destination

    def describe(self) -> str:
        return f"make the filesystem on {self.destination} read-only"

    def execute(self, run: Run) -> None:
        mount = run.mounts.pop(self.pointer)
        run.inner.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY)
        run.inner.close(mount)

"""The option ``remount``: change what an earlier mount, or the rootfs, has at the destination.

As with mount(8) it reaches the mount and, without the option ``bind``, its filesystem. But only a
filesystem that this container made: that of a bind mount is the host's, whose mounts of it would
change, too.
"""

from __future__ import annotations

import errno

from ociruntime.process.step import ContainerStep
from ociruntime.steps.touches import set_attributes, set_propagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions


class Remount(ContainerStep):
    """Change the attributes of what is mounted at the destination."""

    __slots__ = ("destination", "options")

    kind = "remount"

    def __init__(self, pointer: str, label: str, destination: str, options: MountOptions) -> None:
        super().__init__(pointer, label)
        self.destination = destination
        self.options = options

    def describe(self) -> str:
        return f"change the mount attributes of {self.destination}"

    def execute(self, run: Run) -> None:
        target = self.find(run)
        set_attributes(run.inner, target, self.options)
        set_propagation(run.inner, target, self.options)
        run.inner.close(target)

    def find(self, run: Run) -> int:
        """A descriptor of the mount: of an earlier one of this config its own (CVE-2026-115521)."""
        mount = run.mounts.pop(self.pointer, None)
        return run.inside().find(self.destination) if mount is None else mount

    def explain(self, number: int) -> str:
        if number == errno.EINVAL:
            return f"nothing is mounted on {self.destination}; leave out the option remount"
        return ""


class Reconfigure(Remount):
    """Change the filesystem, then the attributes, of an earlier mount of this config, which is
    known by its descriptor: whoever shares the rootfs may have moved the place.
    """

    __slots__ = ()

    kind = "reconfigure"

    def describe(self) -> str:
        options = ",".join(self.options.sb_flags + self.options.data)
        return f"change the filesystem and the mount attributes of {self.destination}: {options}"

    def find(self, run: Run) -> int:
        mount = run.mounts.pop(self.pointer)
        run.inner.reconfigure(mount, self.options.sb_flags + self.options.data)
        return mount

    def explain(self, number: int) -> str:
        return ""

"""linux.maskedPaths and linux.readonlyPaths (config-linux.md).

A path that the container does not have is skipped, and so is nothing else: the device that covers a
file is proven to be /dev/null (CVE-2025-31133), and the step works on fds, so what is covered is
what was looked at. What is below /proc and /sys is looked up in the mounts that we attached there,
wherever somebody who shares the rootfs may have moved them since.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.mountfd import null_device
from ociruntime.kernel.program import strings
from ociruntime.process.run import NULL_FD
from ociruntime.process.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

MISSING = (errno.ENOENT, errno.ENOTDIR)
# In ``Run.mounts``: what covers files.
SECURE = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC


class MaskPath(ContainerStep):
    """Cover a file with /dev/null, a directory with an empty read-only tmpfs."""

    __slots__ = ("label_option", "path")

    kind = "mask-path"
    stage = "masks"

    def __init__(self, pointer: str, path: str, label_option: str = "") -> None:
        super().__init__(pointer, f"linux.maskedPaths {path}")
        self.path = path
        self.label_option = label_option

    def describe(self) -> str:
        return f"hide {self.path}"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        if NULL_FD not in run.mounts:
            run.mounts[NULL_FD] = null_device(kernel)
        options = ["ro", "nr_blocks=1", "nr_inodes=1"]
        if self.label_option:
            options.append(self.label_option)
        kernel.queue(
            p.MASK_PATH,
            *run.inside().pinned_place(self.path),
            *strings([os.fsencode(option) for option in options]),
            SECURE | c.MOUNT_ATTR_RDONLY,
            run.mounts[NULL_FD],
            tolerated=MISSING,
        )


class ReadonlyPath(ContainerStep):
    """Make a path read-only, and not what is mounted below it, as in runc and crun: that has
    options of its own.
    """

    __slots__ = ("path",)

    kind = "readonly-path"
    stage = "masks"

    def __init__(self, pointer: str, path: str) -> None:
        super().__init__(pointer, f"linux.readonlyPaths {path}")
        self.path = path

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def execute(self, run: Run) -> None:
        place = run.inside().pinned_place(self.path)
        run.inner.queue(p.READONLY, *place, tolerated=MISSING)

    def explain(self, number: int) -> str:
        if number == errno.EINVAL:
            return "what is mounted there is unbindable; leave that option out"
        return ""

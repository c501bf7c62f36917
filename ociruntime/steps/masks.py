"""linux.maskedPaths and linux.readonlyPaths (config-linux.md).

A path that the container does not have is skipped, and so is nothing else: the device that covers a
file is proven to be /dev/null (CVE-2025-31133), and the step works on fds, so what is covered is
what was looked at. What is below /proc and /sys is looked up in the mounts that we attached there,
wherever somebody who shares the rootfs may have moved them since.
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel.mountfd import clone_fd, new_filesystem, null_device
from ociruntime.plan.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

# Where a cover that was mounted already can be copied from.
NULL, EMPTY = "mask:null", "mask:empty"
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
        kernel = run.kernel
        try:
            target = run.inside().find_pinned(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            is_directory = kernel.stat(target).kind == c.S_IFDIR
            cover = self._empty(run) if is_directory else self._null(run)
            kernel.move_mount(cover, target)
            key = EMPTY if is_directory else NULL
            if key in run.mounts:
                kernel.close(cover)
            else:
                run.mounts[key] = cover
        finally:
            kernel.close(target)

    def _null(self, run: Run) -> int:
        if NULL in run.mounts:
            return clone_fd(run.kernel, run.mounts[NULL], recursive=False)
        device = null_device(run.kernel)
        cover = clone_fd(run.kernel, device, recursive=False)
        run.kernel.close(device)
        run.kernel.mount_setattr(cover, set_=c.MOUNT_ATTR_RDONLY, propagation=c.MS_PRIVATE)
        return cover

    def _empty(self, run: Run) -> int:
        if EMPTY in run.mounts:
            return clone_fd(run.kernel, run.mounts[EMPTY], recursive=False)
        options = ["ro", "nr_blocks=1", "nr_inodes=1"]
        if self.label_option:
            options.append(self.label_option)
        return new_filesystem(run.kernel, "tmpfs", "tmpfs", options, SECURE | c.MOUNT_ATTR_RDONLY)


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
        kernel = run.kernel
        try:
            target = run.inside().find_pinned(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            mount = clone_fd(kernel, target, recursive=True)
            kernel.mount_setattr(mount, set_=c.MOUNT_ATTR_RDONLY)
            kernel.move_mount(mount, target)
            kernel.close(mount)
        finally:
            kernel.close(target)

    def explain(self, number: int) -> str:
        if number == errno.EINVAL:
            return "what is mounted there is unbindable; leave that option out"
        return ""

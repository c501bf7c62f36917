"""What the process that becomes CRIU does before: a mount namespace that only CRIU sees.

    DIRECTORY/root      the root filesystem, by itself
    DIRECTORY/m4711     each mount from outside, by its key, with its final attributes
    DIRECTORY/images    the images, file by file: nobody can exchange them any more, and root of a
                        user namespace may read them, who may not enter their own directory

CRIU takes mounts by path. These paths are on a tmpfs that lies over the container's directory below
--root in this namespace only, so nobody can exchange them, and what they lead to was opened and
proven by the steps of the plan, like the mounts of every other container. A mount that shall be
read-only is so from the beginning.

The same steps make the mount points that are missing in the root filesystem and in its volumes, as
for `create`. What is a filesystem of its own is a placeholder meanwhile: CRIU makes it anew, with
all that is in it.
"""

from __future__ import annotations

from ociruntime.cgroups.join import join_error
from ociruntime.checkpoint.directory import mirror
from ociruntime.errors import OciError, StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel.mountfd import clone_fd, null_device
from ociruntime.process.beside import Beside
from ociruntime.process.executor import explain
from ociruntime.process.run import hierarchy_fd
from ociruntime.steps.cgroup import to_join
from ociruntime.steps.mounts import find_kernel_target, find_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.checkpoint.externals import External
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run
    from ociruntime.process.step import Step

ROOT, IMAGES = "root", "images"
# Steps of the container's side that are executed here, by kind.
REAL = (
    "open-rootfs",
    "open-source",
    "open-idmapped-source",
    "open-cgroup-source",
    "attach-rootfs",
    "bind-mount",
    "show-nodes",
    "check-dev",
    "make-device",
    "hide-nodes",
    "make-symlink",
    "make-directory",
)
KERNEL_FILESYSTEMS = ("proc", "sysfs")
SECURE = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC


class Stage:
    """The namespace to be; made by ``prepare``, in the new process.

    Parameters: ``steps`` of the plan that make the mounts, ``outside`` what comes from outside,
    ``readonly`` whether the container's root is.
    """

    __slots__ = ("_keys", "_outside", "_readonly", "_steps", "directory")

    def __init__(
        self, directory: str, steps: list[Step], outside: list[External], *, readonly: bool
    ) -> None:
        self.directory = directory
        self._steps = steps
        self._outside = outside
        self._readonly = readonly

    def map(self) -> list[dict[str, str]]:
        """CRIU's map from keys to where their mounts are."""
        return [{"key": item.key, "val": self.path(item.key)} for item in self._outside]

    def path(self, name: str) -> str:
        """The path of one of the mounts."""
        return f"{self.directory}/{name}"

    def prepare(self, run: Run) -> None:
        """Join the container's cgroup, and make all this. Raises ``OciError``."""
        kernel = run.kernel
        if run.cgroup is not None:
            for place in to_join(run, run.cgroup.placement):
                try:
                    kernel.write(run.fds[hierarchy_fd(place.key)], b"0")
                except OSError as error:
                    raise join_error(place, error) from None
        kernel.unshare(c.CLONE_NEWNS)
        # It is in the same namespace, as a child is.
        with Beside(kernel, run.fds.values(), made=run.stubs) as run.setup:
            for step in self._steps:
                run.setup.step = step
                try:
                    self._execute(step, run)
                    run.setup.carry_out()
                except OSError as error:
                    raise explain(step, error) from None
            try:
                self._attach_all(run)
                run.setup.carry_out()
            except OSError as error:
                label = "the mounts for CRIU"
                raise StepError(label, error.errno or 0, error.strerror or "") from None

    def _execute(self, step: Step, run: Run) -> None:
        if step.kind in REAL or (step.kind == "mount-cgroup" and not step.namespace):  # type: ignore[attr-defined]
            step.execute(run)
        elif step.kind in ("mount", "mount-cgroup", "attach-filesystem"):
            self._hold_place(step, run)

    @staticmethod
    def _hold_place(step: Step, run: Run) -> None:
        """Mount an empty tmpfs where a filesystem will be: what is made in there is not made
        below it.
        """
        destination: str = step.destination  # type: ignore[attr-defined]
        kernel, inroot = run.inner, run.inside()
        if getattr(step, "filesystem", "") in KERNEL_FILESYSTEMS:
            target = find_kernel_target(inroot, destination, step.filesystem)  # type: ignore[attr-defined]
        else:
            options = step.options  # type: ignore[attr-defined]
            target = find_target(inroot, destination, options, directory=True)
        mount = kernel.new_filesystem("tmpfs", "tmpfs", ["mode=755", "size=1m"])
        kernel.move_mount(mount, target)
        kernel.close(mount)
        kernel.close(target)

    def _attach_all(self, run: Run) -> None:
        kernel, inroot = run.inner, run.inside()
        stage = kernel.new_filesystem("tmpfs", "tmpfs", ["mode=711", "size=1m"], SECURE)
        found = [(item.key, self._take(run, item)) for item in self._outside]
        root = clone_fd(kernel, inroot.root, recursive=False)
        if self._readonly:
            kernel.mount_setattr(root, set_=c.MOUNT_ATTR_RDONLY)
        # The descriptor that we have is on a mount of the namespace that was left.
        here = kernel.open(self.directory, c.O_PATH | c.O_DIRECTORY | c.O_NOFOLLOW)
        kernel.move_mount(stage, here)
        kernel.close(here)
        for name, mount in (*found, (ROOT, root)):
            if mount < 0:
                continue
            if kernel.stat(mount).kind == c.S_IFDIR:
                kernel.mkdirat(stage, name, 0o700)
            else:
                flags = c.O_CREAT | c.O_EXCL | c.O_WRONLY
                kernel.close(kernel.openat(stage, name, flags, 0o600))
            target = kernel.openat(stage, name, c.O_PATH | c.O_NOFOLLOW)
            kernel.move_mount(mount, target)
            kernel.close(target)

    def open_images(self, kernel: Kernel, images: int, path: str) -> int:
        """A descriptor of a directory that has the files of ``images``, a descriptor of ``path``:
        what was looked at is what CRIU reads, whoever else may write in there.
        """
        stage = kernel.open(self.directory, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW)
        try:
            kernel.mkdirat(stage, IMAGES, 0o711)
            made = kernel.openat(stage, IMAGES, c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW)
        finally:
            kernel.close(stage)
        mirror(kernel, images, made, path)
        return made

    @staticmethod
    def _take(run: Run, item: External) -> int:
        """A detached copy of what the steps have mounted at its place; -1 for none."""
        kernel = run.inner
        if item.kind == "mask":
            null = null_device(kernel)
            cover = clone_fd(kernel, null, recursive=False)
            kernel.close(null)
            kernel.mount_setattr(cover, set_=c.MOUNT_ATTR_RDONLY, propagation=c.MS_PRIVATE)
            return cover
        try:
            with kernel.at_once():
                found = run.inside().find(item.place)
        except FileNotFoundError:
            return -1
        try:
            return clone_fd(kernel, found, recursive=True)
        finally:
            kernel.close(found)


def check_possible(steps: list[Step]) -> None:
    """Refuse a configuration whose container CRIU cannot make; raises ``OciError``."""
    kinds = {step.kind for step in steps}
    if "attach-rootfs" not in kinds:
        raise OciError(
            "restore: the container has no mount namespace of its own; "
            'add {"type": "mount"} to linux.namespaces'
        )

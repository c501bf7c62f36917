"""Steps of ``exec``: join a running container and become one of its processes."""

from __future__ import annotations

import errno
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

from ociruntime import hostos as os
from ociruntime.errors import NOT_RUNNING, WrongStatus
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.plan.step import ContainerStep, Step
from ociruntime.state.processes import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run

CONTAINER = "container"


class OpenContainer(Step):
    """Hold the container's first process by pidfd: setns(2) joins all its namespaces through it at
    once.

    What is opened by a path of /proc is opened before the pidfd: the process that is proven to be
    there still has been there all the time, so a reused pid can never be joined.
    """

    __slots__ = ("cgroup_namespace", "id", "init", "known_root", "own_root", "start_time")

    kind = "open-container"

    def __init__(
        self,
        container_id: str,
        init: int,
        start_time: int,
        *,
        own_root: bool,
        cgroup_namespace: bool,
        known_root: bool = False,
    ) -> None:
        super().__init__("", f"container {container_id}")
        self.id = container_id
        self.init = init
        self.start_time = start_time
        self.own_root = own_root
        self.known_root = known_root
        self.cgroup_namespace = cgroup_namespace

    def describe(self) -> str:
        return f"take hold of process {self.init}, the first of container {self.id}"

    def execute(self, run: Run) -> None:
        try:
            self._open_paths(run)
            pidfd = open_process(self.init, self.start_time)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESRCH):
                raise
            pidfd = -1
        if pidfd < 0:
            raise WrongStatus(f"{NOT_RUNNING}: {self.id} has just ended")
        run.fds[f"namespace:{CONTAINER}"] = pidfd

    def _open_paths(self, run: Run) -> None:
        if not self.own_root or self.known_root:
            # Without a mount namespace the container's root is that process's root directory.
            flags = c.O_PATH | c.O_DIRECTORY
            try:
                run.fds["root"] = run.kernel.open(f"/proc/{self.init}/root", flags)
            except PermissionError:
                # Only who may trace that process may follow it (proc_pid_root(5)): "/" has to do.
                if not self.own_root:
                    raise
        if self.cgroup_namespace:
            path = f"/proc/{self.init}/ns/cgroup"
            run.fds["namespace:cgroup"] = run.kernel.open(path, c.O_RDONLY)


class OpenReport(Step):
    """A pair of sockets: oci-init reports a failure on one, we read it from the other."""

    __slots__ = ()

    kind = "open-report"

    def __init__(self) -> None:
        super().__init__("", "report channel")

    def describe(self) -> str:
        return "open a channel for oci-init's report"

    def execute(self, run: Run) -> None:
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        run.fds["report"] = ours.detach()
        run.fds["start"] = theirs.detach()
        run.host_fds.append(run.fds["report"])


class EnterRoot(ContainerStep):
    """Work in the container's root from here on.

    setns(2) leads to the root of the mount namespace, and that is the machine's where the runtime
    that made the container ran in a chroot: pivot_root(2) moves the root of processes in there, not
    of the namespace. So the root counts that was noted when it was made, or the one that the
    container's first process has taken with it to the namespace's (a switch_root).

    Parameters: ``known`` is (major, minor, inode) of it; None: "/" is the root, or with
    run.fds["root"] that one.
    """

    __slots__ = ("known",)

    kind = "enter-root"
    stage = "enter"

    def __init__(self, known: tuple[int, int, int] | None = None) -> None:
        super().__init__("", "the container's root")
        self.known = known

    def describe(self) -> str:
        return "enter the container's root"

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        root = run.fds.pop("root", -1)
        if root < 0 or self.known is not None:
            top = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
            if self.known is None or self._is_it(kernel, top, root):
                if root >= 0:
                    kernel.close(root)
                run.inroot = InRoot(kernel, top)
                return
            if root < 0 or identity(kernel, root) != self.known:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            kernel.close(top)
        kernel.fchdir(root)
        kernel.chroot_here()
        run.inroot = InRoot(kernel, root)

    def _is_it(self, kernel: Kernel, top: int, root: int) -> bool:
        found = identity(kernel, top)
        return found == self.known or (root >= 0 and found == identity(kernel, root))

    def explain(self, number: int) -> str:
        if number == errno.ESTALE:
            return (
                "it is not where it was made, and the namespace's is not the container's to give: "
                "its first process has changed it, or may not be looked at by this caller"
            )
        return ""


def identity(kernel: Kernel, fd: int) -> tuple[int, int, int]:
    """What no other directory is at the same time: (major, minor, inode)."""
    stat = kernel.stat(fd)
    return (*stat.device, stat.ino)

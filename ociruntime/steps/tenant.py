"""Steps of ``exec``: join a running container and become one of its processes."""

from __future__ import annotations

import errno
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

from ociruntime.errors import NOT_RUNNING, WrongStatus
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.plan.step import ContainerStep, Step
from ociruntime.state.processes import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

CONTAINER = "container"


class OpenContainer(Step):
    """Hold the container's first process by pidfd: setns(2) joins all its namespaces through it at
    once.

    What is opened by a path of /proc is opened before the pidfd: the process that is proven to be
    there still has been there all the time, so a reused pid can never be joined.
    """

    __slots__ = ("cgroup_namespace", "id", "init", "own_root", "start_time")

    kind = "open-container"

    def __init__(
        self,
        container_id: str,
        init: int,
        start_time: int,
        *,
        own_root: bool,
        cgroup_namespace: bool,
    ) -> None:
        super().__init__("", f"container {container_id}")
        self.id = container_id
        self.init = init
        self.start_time = start_time
        self.own_root = own_root
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
        if not self.own_root:
            # Without a mount namespace the container's root is that process's root directory.
            flags = c.O_PATH | c.O_DIRECTORY
            run.fds["root"] = run.kernel.open(f"/proc/{self.init}/root", flags)
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
    """Work in the container's root from here on."""

    __slots__ = ()

    kind = "enter-root"
    stage = "enter"

    def __init__(self) -> None:
        super().__init__("", "the container's root")

    def describe(self) -> str:
        return "enter the container's root"

    def execute(self, run: Run) -> None:
        kernel = run.kernel
        root = run.fds.get("root", -1)
        if root >= 0:
            kernel.fchdir(root)
            kernel.chroot_here()
        else:
            root = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
        run.inroot = InRoot(kernel, root)


class LetGo(Step):
    """Close our copy of oci-init's end of the report channel, so that its closing means success."""

    __slots__ = ()

    kind = "let-go"
    stage = "attach"

    def __init__(self) -> None:
        super().__init__("", "report channel")

    def describe(self) -> str:
        return "leave the report channel to oci-init"

    def execute(self, run: Run) -> None:
        run.kernel.close(run.fds.pop("start"))

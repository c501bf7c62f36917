"""Steps of ``exec`` on the host: take hold of a running container, and of whom else it needs."""

from __future__ import annotations

import errno

from ociruntime.errors import NOT_RUNNING, WrongStatus
from ociruntime.kernel import constants as c
from ociruntime.kernel.pids import open_process
from ociruntime.process.run import CONTAINER_FD, ROOT_FD, namespace_fd
from ociruntime.process.step import Step, plain

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.run import Run
    from ociruntime.seccomp.listener import Agent
    from ociruntime.seccomp.stored import StoredListener

STALE_ROOT = {
    errno.ESTALE: "it is not where it was made, and the namespace's is not the container's to "
    "give: its first process has changed it, or may not be looked at by this caller"
}


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
        run.fds[CONTAINER_FD] = pidfd

    def _open_paths(self, run: Run) -> None:
        if not self.own_root or self.known_root:
            # Without a mount namespace the container's root is that process's root directory.
            flags = c.O_PATH | c.O_DIRECTORY
            try:
                run.fds[ROOT_FD] = run.kernel.open(f"/proc/{self.init}/root", flags)
            except PermissionError:
                # Only who may trace that process may follow it (proc_pid_root(5)): "/" has to do.
                if not self.own_root:
                    raise
        if self.cgroup_namespace:
            path = f"/proc/{self.init}/ns/cgroup"
            run.fds[namespace_fd("cgroup")] = run.kernel.open(path, c.O_RDONLY)


class ConnectAgent(Step):
    """Connect to the seccomp agent that gets the listener of the container's filter; ``agent`` is
    the connection then.
    """

    __slots__ = ("agent", "listener")

    kind = "connect-agent"

    def __init__(self, listener: StoredListener) -> None:
        super().__init__("/linux/seccomp/listenerPath", "seccomp agent")
        self.listener = listener
        self.agent: Agent | None = None

    def describe(self) -> str:
        return "connect to the seccomp agent"

    def operands(self) -> dict[str, object]:
        return {"listener": plain(self.listener)}

    def execute(self, run: Run) -> None:
        from ociruntime.seccomp.listener import Agent

        self.agent = Agent(self.listener)

    def undo(self, run: Run) -> None:
        if self.agent is not None:
            self.agent.close()
            self.agent = None

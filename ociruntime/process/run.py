"""What is alive while a plan is executed: fds, the init process, what was made so far."""

from __future__ import annotations

from ociruntime.process.channel import channel_pair
from ociruntime.process.patience import Patience
from ociruntime.process.step import HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from ociruntime.cgroups.group import Group
    from ociruntime.kernel.inroot import InRoot
    from ociruntime.kernel.inside import Answer, Inside
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.kernel.stubs import Stub
    from ociruntime.process.channel import Channel
    from ociruntime.process.step import Step
    from ociruntime.state.store import Container

    Observer = Callable[[str, int, Step], None]

# What descriptors are called in ``Run.fds``, and in ``Run.mounts`` those of oci-setup's; the source
# of a mount has the JSON pointer of the mount.
SETUP_FD, INIT_FD, BLOCK_FD = "setup", "init", "block"  # programs, and what the second is told
START_FD = "start"  # listens for `start`
CHANNEL_FD = "channel"  # on which exec's process reports
CONSOLE_FD, TERMINAL_FD = "console", "terminal"  # who gets the master, and the slave
ROOTFS_FD = "rootfs"  # a detached copy of the root filesystem
ROOT_FD = "root"  # the root directory of a container that runs
CONTAINER_FD = "namespace:container"  # its first process, whose namespaces are joined
NODES_FD = "device-nodes"  # a filesystem with device nodes to bind
NULL_FD = "mask:null"  # what files are masked with
PROC_FD = "proc"  # a private procfs


def namespace_fd(kind: str) -> str:
    """The name of a namespace to join; ``kind`` as in linux.namespaces."""
    return f"namespace:{kind}"


def hierarchy_fd(key: str) -> str:
    """The name of the file by which the container's cgroup in the hierarchy ``key`` is joined."""
    return f"cgroup:{key}"


def idmap_fd(number: int) -> str:
    """The name of the user namespace that was made for the mappings ``number``."""
    return f"idmap:{number}"


class Run:
    """The live side of one plan.

    kernel      the only way to the system
    steps       the plan
    fds         descriptors opened by earlier steps, by the name the planner gave them
    lent        the one among them that belongs to the caller, who closes it; -1 for none
    host_fds    descriptors that oci-setup does not get
    container   the claimed state directory, None for exec
    cgroup      the container's cgroup once it is made
    pid, pidfd  the init process (host pid), 0 and -1 before it exists
    step        the one that is executed or compiled
    channel     this process's end of the conversation, None before the clone
    setup       what carries out the container's side, None before the clone
    inroot      the inside of the rootfs
    copied      bytes that tmpcopyup has copied so far
    mounts      descriptors of oci-setup's by name: detached mounts, a private procfs
    plain_root  whether the path of the rootfs has no symlink
    stubs       what was made in the rootfs, oldest first
    streams     what becomes descriptors 0 to 2 of init; empty: it has the caller's
    preserve_fds  how many descriptors from 3 on init has, too
    waits_for_thaw  whether a frozen container is waited for (``exec --ignore-paused``)
    warnings    what was skipped or ignored, with the reason
    notes       what helps to find a fault, for --debug (host side)
    seccomp     None, or the filter (array of struct sock_filter) and its flags for oci-init
    umask       the caller's, which hooks get; -1 where this process still has it
    observer    called after each step with (side, index, step); tests and --trace use it
    connect     makes the two ends of a channel; tests give one that answers in this process
    """

    __slots__ = (
        "away",
        "candidates",
        "cgroup",
        "channel",
        "connect",
        "container",
        "copied",
        "cwd",
        "environment",
        "fds",
        "groups_denied",
        "home",
        "host_fds",
        "inroot",
        "kernel",
        "lent",
        "mounts",
        "notes",
        "observer",
        "pid",
        "pidfd",
        "plain_root",
        "preserve_fds",
        "seccomp",
        "setup",
        "step",
        "steps",
        "streams",
        "stubs",
        "umask",
        "waits_for_thaw",
        "warnings",
    )

    def __init__(self, kernel: Kernel, steps: list[Step]) -> None:
        self.kernel = kernel
        self.steps = steps
        self.fds: dict[str, int] = {}
        self.lent = -1
        self.host_fds: list[int] = []
        self.container: Container | None = None
        self.cgroup: Group | None = None
        self.pid = 0
        self.pidfd = -1
        self.step: Step | None = None
        self.channel: Channel | None = None
        self.setup: Inside | None = None
        self.inroot: InRoot | None = None
        self.mounts: dict[str, int] = {}
        self.copied = 0
        self.plain_root = True
        self.streams: tuple[int, ...] = ()
        self.preserve_fds = 0
        self.stubs: list[Stub] = []
        self.umask = -1
        self.waits_for_thaw = False
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.seccomp: tuple[bytes, int] | None = None
        self.observer: Observer | None = None
        self.connect: Callable[[], tuple[Channel, socket]] = channel_pair
        # Filled by the identity steps for oci-init: programs to try, environment, working
        # directory.
        self.candidates: list[str] = ["/"]
        self.environment: list[str] = []
        # ... to which this answers with HOME where it is looked up.
        self.home: Answer | None = None
        self.cwd = "/"
        # True where root of the container may not enter that directory, which the user may.
        self.away = False
        # True when the user namespace turned out to forbid setgroups(2) for good.
        self.groups_denied = False

    def close(self) -> None:
        """Close what the host side has open for this run (a process may make many containers).

        The container's own descriptor and the caller's stay open.
        """
        for name in list(self.fds):
            self.let_go(name)
        if self.pidfd >= 0:
            self.kernel.close(self.pidfd)
            self.pidfd = -1
        if self.channel is not None:
            self.channel.close()
        if self.cgroup is not None:
            self.cgroup.close()

    def let_go(self, name: str) -> None:
        """Close one of ``fds`` here, unless only oci-setup has it, or it is the caller's."""
        fd = self.fds.pop(name)
        if fd != self.lent and type(fd) is int:
            self.kernel.close(fd)

    def patience(self) -> Patience:
        """How long to wait for the process in the container."""
        return Patience(
            self.pid,
            "the process in the container",
            frozen_too=not self.waits_for_thaw,
            children_too=True,
            over=self.over,
        )

    def over(self) -> str:
        """Why nobody needs this any more, "" while somebody does."""
        return self.container.why_unwanted() if self.container is not None else ""

    @property
    def inner(self) -> Inside:
        """The kernel as init sees it; only steps behind the clone ask for it."""
        assert self.setup is not None
        return self.setup

    def kernel_of(self, side: str) -> Kernel:
        """The kernel as that side sees it."""
        return self.kernel if side == HOST else self.inner

    def inside(self) -> InRoot:
        """The rootfs; only steps behind AttachRootfs ask for it."""
        assert self.inroot is not None
        return self.inroot

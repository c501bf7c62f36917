"""What is alive while a plan is executed: fds, the init process, what was made so far."""

from __future__ import annotations

from ociruntime.process.channel import channel_pair
from ociruntime.process.patience import Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.cgroups.group import Group
    from ociruntime.kernel.inroot import InRoot, Stub
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.plan.step import Step
    from ociruntime.process.channel import Channel
    from ociruntime.state.store import Container

    Observer = Callable[[str, int, Step], None]


class Run:
    """The live side of one plan.

    kernel      the only way to the system
    steps       the plan, the same list in both processes
    fds         descriptors opened by earlier steps, by the name the planner gave them
    lent        the one among them that belongs to the caller, who closes it; -1 for none
    host_fds    descriptors that init must not keep: it closes them first
    container   the claimed state directory, None for a tenant (exec)
    cgroup      the container's cgroup once it is made
    pid, pidfd  the init process (host pid), 0 and -1 before it exists
    channel     this process's end of the conversation, None before the clone
    inroot      the inside of the rootfs (container side)
    copied      bytes that tmpcopyup has copied so far (container side)
    mounts      detached mounts and private procfs by name (container side)
    plain_root  whether the path of the rootfs has no symlink (host side)
    stubs       what init has made in the rootfs, oldest first (host side)
    streams     what becomes descriptors 0 to 2 of init, which then has none but this run's, before
                a namespace is joined; empty: it has the caller's, and all others
    keeps       with streams: init has all others for all that, as a command's
    waits_for_thaw  whether a frozen container is waited for (``exec --ignore-paused``)
    warnings    what was skipped or ignored, with the reason
    notes       what helps to find a fault, for --debug (host side)
    seccomp     None, or the filter (array of struct sock_filter) and its flags for oci-init
    umask       the caller's, which hooks get; -1 where this process still has it
    observer    called after each step with (side, index, step); tests and --trace use it
    connect     makes the two ends of a channel; tests give one whose far end runs in this process
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
        "hooks_ran",
        "host_fds",
        "inroot",
        "keeps",
        "kernel",
        "lent",
        "mounts",
        "notes",
        "observer",
        "pid",
        "pidfd",
        "plain_root",
        "seccomp",
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
        self.channel: Channel | None = None
        self.inroot: InRoot | None = None
        self.mounts: dict[str, int] = {}
        self.copied = 0
        self.plain_root = True
        self.streams: tuple[int, ...] = ()
        self.keeps = False
        self.stubs: list[Stub] = []
        self.umask = -1
        self.waits_for_thaw = False
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.seccomp: tuple[bytes, int] | None = None
        self.observer: Observer | None = None
        self.connect: Callable[[], tuple[Channel, Channel]] = channel_pair
        # Filled by the identity steps for oci-init: programs to try, environment, working
        # directory.
        self.candidates: list[str] = ["/"]
        self.environment: list[str] = []
        self.cwd = "/"
        # True where root of the container may not enter that directory, which the user may.
        self.away = False
        # True when the user namespace turned out to forbid setgroups(2) for good.
        self.groups_denied = False
        # True from the first createRuntime hook on: a failing create then owes the poststop hooks.
        self.hooks_ran = False

    def close(self) -> None:
        """Close what the host side has open for this run (a process may make many containers).

        The container's own descriptor and the caller's stay open.
        """
        for fd in self.fds.values():
            if fd != self.lent:
                self.kernel.close(fd)
        self.fds.clear()
        if self.pidfd >= 0:
            self.kernel.close(self.pidfd)
            self.pidfd = -1
        if self.channel is not None:
            self.channel.close()
        if self.cgroup is not None:
            self.cgroup.close()

    def patience(self) -> Patience:
        """How long to wait for the process in the container."""
        what = "the process in the container"
        return Patience(self.pid, what, frozen_too=not self.waits_for_thaw, children_too=True)

    def inside(self) -> InRoot:
        """The rootfs; only steps behind AttachRootfs ask for it."""
        assert self.inroot is not None
        return self.inroot

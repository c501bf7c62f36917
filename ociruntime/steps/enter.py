"""``exec``: one more process in a running container, which oci-exec makes (native/oci-exec.c).

No Python enters a container: what is to be done inside is packed into a block, and a small program
of ours, executed on the host, joins the container and makes the process, which does it. It says
what it could not do; the words for people are those of the steps that do the same for a container's
first process.
"""

from __future__ import annotations

import errno
from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import block as b
from ociruntime.kernel import execblock as e
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.ocinit import sealed_memfd
from ociruntime.kernel.processes import Executable
from ociruntime.process.descriptors import STREAMS, close_all
from ociruntime.process.environment import settled
from ociruntime.process.executor import how_it_ended
from ociruntime.process.patience import set_look
from ociruntime.process.report import read_report, too_long
from ociruntime.process.run import (
    BLOCK_FD,
    CHANNEL_FD,
    CONSOLE_FD,
    CONTAINER_FD,
    INIT_FD,
    ROOT_FD,
    hierarchy_fd,
    namespace_fd,
)
from ociruntime.process.spawn import end_process
from ociruntime.process.step import Step
from ociruntime.state.status import RUNNING
from ociruntime.steps.cgroup import to_join
from ociruntime.steps.process import MISSING, NewKeyring, candidates, no_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterator

    from ociruntime.cgroups.path import Place
    from ociruntime.kernel.block import Report
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.identity import Identity
    from ociruntime.process.run import Run
    from ociruntime.spec.documents import ProcessConfig
    from ociruntime.state.store import Container
    from ociruntime.steps.attributes import ProcessSetting
    from ociruntime.steps.prepare_exec import ConnectAgent

LARGEST_REPORT = 64
# Milliseconds that oci-exec may take on the host: a container without a pid namespace of its own
# can stop it once it has joined its user namespace.
LONGEST = 10_000


class EnterContainer(Step):
    """Make the process in the container; it waits there for ``Proceed``.

    Parameters: ``process`` is as config.json's, ``program`` what is executed; ``namespaces`` are
    the CLONE_NEW* flags of those that are joined, but for the cgroup namespace; ``user`` says
    whether a user namespace is among them, ``setgroups`` whether that one allows setgroups(2);
    ``root`` is ``known_root``'s; ``keep_fds`` counts the descriptors from 3 on that the process
    keeps. ``adds_home`` says whether HOME is found out where process.env has none. Attributes that
    few need: ``cpus`` are ``ExecBlock``'s; ``execution`` what the process sets itself; with
    ``relayed`` a terminal leaves newlines as they are; with ``tells_joined`` the process says when
    it is in its cgroups.
    """

    __slots__ = (
        "adds_home",
        "channel",
        "container_id",
        "cpus",
        "execution",
        "identity",
        "joins",
        "keep_fds",
        "maker",
        "namespaces",
        "process",
        "program",
        "relayed",
        "root",
        "said",
        "setgroups",
        "tells_joined",
        "user",
    )

    kind = "enter-container"
    stage = "spawn"
    listens = True

    def __init__(
        self,
        container_id: str,
        namespaces: int,
        process: ProcessConfig,
        identity: Identity,
        *,
        program: str,
        user: bool,
        setgroups: bool,
        root: tuple[int, int, int] | None = None,
        keep_fds: int = 0,
        adds_home: bool = True,
    ) -> None:
        super().__init__("/process", f"entering container {container_id}")
        self.container_id = container_id
        self.namespaces = namespaces
        self.process = process
        self.identity = identity
        self.joins: list[Place] = []
        self.program = program
        self.user = user
        self.setgroups = setgroups
        self.root = root
        self.keep_fds = keep_fds
        self.adds_home = adds_home
        self.cpus = b""
        self.execution: list[ProcessSetting] = []
        self.relayed = False
        self.tells_joined = False
        # What the process has said so far: STAGE_JOINED, STAGE_ENTERED.
        self.said: set[int] = set()
        self.channel: socket | None = None
        # A pidfd of oci-exec, where somebody has other things to do until its end.
        self.maker = -1

    def operands(self) -> dict[str, object]:
        return {name: value for name, value in super().operands().items() if name != "maker"}

    def describe(self) -> str:
        who = f"uid {self.identity.uid}, gid {self.identity.gid}"
        return f"make a process in container {self.container_id} for {self.program}, as {who}"

    def listen(self, run: Run) -> Iterator[int]:
        """Start oci-exec, and wait for its end."""
        kernel, fds = run.kernel, run.fds
        self.channel, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        fds[CHANNEL_FD] = theirs.detach()
        content, words, environment, own = self.pack(run)
        fds[BLOCK_FD] = block = sealed_memfd(kernel, "oci-exec-block", content)
        program = Executable(
            fds[INIT_FD],
            [b"oci-init %d" % block, *words],
            environment,
            sorted({*range(STREAMS, STREAMS + self.keep_fds), *own, block}),
            run.streams or (0, 1, 2),
            self.keep_fds,
        )
        self.maker = kernel.launch(program, LONGEST)
        # They are the process's now. That it closes the channel is what tells of its success.
        close_all(kernel, [fd for fd in fds.values() if fd != run.lent])
        fds.clear()
        if self.maker >= 0:
            yield self.maker
            self._forget_maker()

    def execute(self, run: Run) -> None:
        self._hear_all(run)

    def _forget_maker(self) -> None:
        os.close(self.maker)
        self.maker = -1

    def _hear_all(self, run: Run) -> None:
        """What oci-exec said, which has ended, and its process, if that one has been as fast."""
        assert self.channel is not None
        failures = []
        made = 0
        try:
            while message := self.channel.recv(LARGEST_REPORT, MSG_DONTWAIT):
                report = b.unpack_report(message)
                if report.stage == b.STAGE_MADE and not made:
                    made = report.detail
                elif report.stage == b.STAGE_JOINED:
                    self.said.add(report.stage)
                else:
                    failures.append(report)
        except BlockingIOError:
            pass
        for report in failures:
            raise self.explain_report(run, report)
        if not made:
            raise OciError(f"{self.label}: oci-exec died without a word")
        self.take(run, made)
        set_look(self.channel)

    def take(self, run: Run, pid: int) -> None:
        """Our own unreaped child, which is proven: in there others may have the channel, too."""
        try:
            run.pidfd = run.kernel.pidfd_open(pid)
            run.kernel.has_ended(run.pidfd)
        except ProcessLookupError:  # somebody else has reaped it: it was killed
            text = f"{self.label}: the process died before its program was executed"
            raise OciError(text) from None
        except ChildProcessError:
            raise OciError(f"{self.label}: process {pid} is not its process") from None
        run.pid = pid

    def pack(self, run: Run) -> tuple[bytes, list[bytes], list[bytes], list[int]]:
        """The block, oci-exec's arguments but for its name, its environment, and what else must be
        open.
        """
        environment = settled(self.process.get("env") or ())
        paths = candidates(self.program, environment)
        if not paths:
            raise no_program(self.program, "", MISSING)
        block = self._exec_block(run)
        if self.adds_home and not any(variable.startswith("HOME=") for variable in environment):
            environment.append("HOME=/")
            block.flags |= e.HOME
        return (
            self._block(run, block, len(paths)),
            [os.fsencode(word) for word in (*paths, *self.process["args"])],
            [os.fsencode(variable) for variable in environment],
            [run.fds[INIT_FD], run.fds[CHANNEL_FD], *block.descriptors()],
        )

    def _exec_block(self, run: Run) -> e.ExecBlock:
        fds = run.fds
        block = e.ExecBlock(NewKeyring(self.container_id).name.encode())
        block.container = fds.get(CONTAINER_FD, -1) if self.namespaces else -1
        block.namespaces = self.namespaces
        block.cgroup_namespace = fds.get(namespace_fd("cgroup"), -1)
        block.root = fds.get(ROOT_FD, -1)
        block.known = self.root
        if run.cgroup is not None:
            block.cgroup = run.cgroup.open_for_clone()
            self.joins = to_join(run, run.cgroup.placement)
            block.joins = [fds[hierarchy_fd(place.key)] for place in self.joins]
        if self.user:
            block.flags |= e.USER | (0 if self.setgroups else e.KEEP_GROUPS)
        if self.tells_joined:
            block.flags |= e.JOINED
        block.cpus = self.cpus
        for step in self.execution:
            step.compile(block)
        if self.process.get("terminal"):
            block.console = fds[CONSOLE_FD]
            size = self.process.get("consoleSize") or {}
            block.size = (size.get("height", 0), size.get("width", 0))
            block.flags |= e.RELAYED if self.relayed else 0
        return block

    def _block(self, run: Run, block: e.ExecBlock, paths: int) -> bytes:
        return b.pack_block(
            **self.identity.members(),
            channel_fd=run.fds[CHANNEL_FD],
            cwd=os.fsencode(self.process["cwd"]),
            candidates=paths,
            keep_fds=self.keep_fds,
            seccomp=run.seccomp[0] if run.seccomp else None,
            seccomp_flags=run.seccomp[1] if run.seccomp else 0,
            for_exec=block,
        )

    def undo(self, run: Run) -> None:
        self.let_go()
        if self.maker >= 0:
            # The process that it may have made finds nobody at the channel.
            end_maker(run.kernel, self.maker)
            self._forget_maker()
        end_process(run)

    def let_go(self) -> None:
        """Close our end of the channel."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def explain(self, number: int) -> str:
        if number == errno.E2BIG:
            return too_long(self.process["args"], self.process.get("env") or ())
        return ""

    def explain_report(self, run: Run, report: Report) -> OciError:
        """The error for a failure that the process or oci-exec reports."""
        from ociruntime.steps.execwords import explain_report

        return explain_report(self, run, report)


def end_maker(kernel: Kernel, pidfd: int) -> None:
    """Kill oci-exec, if it has not ended."""
    try:
        kernel.pidfd_send_signal(pidfd, SIGKILL)
    except ProcessLookupError:
        pass


class Proceed(Step):
    """Let the process go on, when the host side has nothing more to do to it."""

    __slots__ = ("enter",)

    kind = "proceed"
    stage = "exec"

    def __init__(self, enter: EnterContainer) -> None:
        super().__init__("", enter.label)
        self.enter = enter

    def describe(self) -> str:
        return "let the process go on"

    def operands(self) -> dict[str, object]:
        return {}

    def execute(self, run: Run) -> None:
        assert self.enter.channel is not None
        try:
            self.enter.channel.send(b.START)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            # It has ended, and said why, or nothing: who listens next finds out.


class Await(Step):
    """Wait until the process says ``said`` (STAGE_JOINED, STAGE_ENTERED), or with 0 until its
    program is executed; raises the reason why it is not.

    ``agent`` is what gets the listener of the seccomp filter.
    """

    __slots__ = ("agent", "container", "enter", "said")

    kind = "await"
    stage = "exec"
    listens = True

    def __init__(
        self, enter: EnterContainer, said: int, container: Container, agent: ConnectAgent | None
    ) -> None:
        super().__init__("", enter.label)
        self.enter = enter
        self.said = said
        self.container = container
        self.agent = agent

    def describe(self) -> str:
        what = {b.STAGE_JOINED: "it is in its cgroups", b.STAGE_ENTERED: "it has entered"}
        return f"wait until {what.get(self.said, f'{self.enter.program} is executed')}"

    def operands(self) -> dict[str, object]:
        return {}

    def listen(self, run: Run) -> Iterator[int]:
        enter, channel = self.enter, self.enter.channel
        assert channel is not None
        agent = self.agent.agent if self.agent is not None else None
        patience = run.patience()
        while self.said not in enter.said:
            yield channel.fileno()
            report = read_report(channel, agent, self.container, run.pid, RUNNING, patience)
            if report is None:
                if self.said or b.STAGE_ENTERED not in enter.said:
                    raise OciError(
                        f"{self.label}: the process died before its program was executed"
                        f"{how_it_ended(run)}"
                    )
                return
            if report.is_note:
                run.warnings.append(self._warning(report))
            elif report.stage in (b.STAGE_JOINED, b.STAGE_ENTERED):
                enter.said.add(report.stage)
            else:
                raise enter.explain_report(run, report)

    def execute(self, run: Run) -> None:
        if not self.said:
            self.enter.let_go()

    @staticmethod
    def _warning(report: Report) -> str:
        from ociruntime.steps.execwords import explain_note

        return explain_note(report)

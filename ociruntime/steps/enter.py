"""``exec`` by a resident process, which oci-exec does from the namespaces on (native/oci-exec.c).

A process inside the container that runs Python is a copy of the caller, and copying the pages of a
resident caller is most of what ``exec`` takes. Here it executes a small program of ours on the
host, which joins the container and makes the process. The steps in the container are the same, in
the same order; their words for people are those of the steps that do them in Python.
"""

from __future__ import annotations

import errno
from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_SEQPACKET, socket

from ociruntime import hostos as os
from ociruntime.cgroups.join import join_error
from ociruntime.errors import OciError
from ociruntime.kernel import block as b
from ociruntime.kernel.ocinit import sealed_memfd
from ociruntime.plan.environment import settled
from ociruntime.plan.step import Step
from ociruntime.process.executor import death, explain
from ociruntime.process.spawn import clone_error, refused
from ociruntime.steps.cgroup import JOIN, to_join
from ociruntime.steps.execinit import too_long
from ociruntime.steps.lsm import OpenProc
from ociruntime.steps.process import (
    MISSING,
    EnterDirectory,
    NewKeyring,
    NewSession,
    candidates,
    no_program,
    outside,
    problem_words,
)
from ociruntime.steps.rootfs import GROUPS_FORBIDDEN, BecomeRoot, JoinCgroupNamespace
from ociruntime.steps.spawn import Spawn, end_process
from ociruntime.steps.streams import OwnStreams
from ociruntime.steps.tenant import CONTAINER, EnterRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.cgroups.path import Place
    from ociruntime.errors import StepError
    from ociruntime.kernel.block import Report
    from ociruntime.plan.identity import Identity
    from ociruntime.process.run import Run

LARGEST_REPORT = 64
MOST_REPORTS = 2
# Milliseconds that oci-exec may take on the host: a container without a pid namespace of its own
# can stop it once it has joined its user namespace.
LONGEST = 5000


class EnterContainer(Step):
    """Make the process in the container; it waits there for ``Proceed``.

    Parameters: ``namespaces`` are the CLONE_NEW* flags of those that are joined, but for the cgroup
    namespace; ``process`` is as config.json's, without a terminal; ``user`` says whether a user
    namespace is among them, ``setgroups`` whether that one allows setgroups(2).
    """

    __slots__ = (
        "container_id",
        "identity",
        "joins",
        "namespaces",
        "process",
        "root",
        "setgroups",
        "user",
    )

    kind = "enter-container"
    stage = "spawn"

    def __init__(
        self,
        container_id: str,
        namespaces: int,
        process: dict[str, Any],
        identity: Identity,
        *,
        user: bool,
        setgroups: bool,
        root: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__("/process", f"entering container {container_id}")
        self.container_id = container_id
        self.namespaces = namespaces
        self.process = process
        self.identity = identity
        self.joins: list[Place] = []
        self.user = user
        self.setgroups = setgroups
        self.root = root

    def describe(self) -> str:
        return f"make a process in container {self.container_id}"

    def execute(self, run: Run) -> None:
        kernel, fds = run.kernel, run.fds
        program, cwd = self.process["args"][0], self.process["cwd"]
        environment = settled(self.process.get("env") or ())
        paths = candidates(program, environment)
        if not paths:
            raise no_program(program, "", MISSING)
        entry = self._entry(run)
        if not any(variable.startswith("HOME=") for variable in environment):
            environment.append("HOME=/")
            entry.flags |= b.ENTRY_HOME
        content = self._pack(run, entry, cwd, len(paths))
        fds["block"] = sealed_memfd(kernel, "oci-exec-block", content)
        arguments = [os.fsencode(argument) for argument in self.process["args"]]
        kernel.run_program(
            fds["init"],
            b.init_argv(fds["block"], [os.fsencode(path) for path in paths], arguments),
            [variable.encode("utf-8", "surrogateescape") for variable in environment],
            run.streams,
            sorted({fds["init"], fds["block"], fds["start"], *entry.descriptors()}),
            LONGEST,
        )
        # They are the process's now. Closing the channel is what tells of its success.
        for name in [name for name, fd in fds.items() if name != "report" and fd != run.lent]:
            kernel.close(fds.pop(name))
        reports = self._reports(run)
        for report in reports:
            if report.stage == b.STAGE_MADE and not run.pid:
                self._take(run, report.detail)
        for report in reports:
            if report.stage != b.STAGE_MADE:
                raise self.explain_report(run, report)
        if not run.pid:
            raise OciError(f"{self.label}: oci-exec died without a word")

    def _take(self, run: Run, pid: int) -> None:
        """Our own unreaped child, which is proven: in there others may have the channel, too."""
        run.pidfd = run.kernel.pidfd_open(pid)
        try:
            run.kernel.has_ended(run.pidfd)
        except ChildProcessError:
            raise OciError(f"{self.label}: process {pid} is not its process") from None
        run.pid = pid

    def _entry(self, run: Run) -> b.Entry:
        fds = run.fds
        entry = b.Entry(NewKeyring(self.container_id).name.encode())
        entry.container = fds.get(f"namespace:{CONTAINER}", -1) if self.namespaces else -1
        entry.namespaces = self.namespaces
        entry.cgroup_namespace = fds.get("namespace:cgroup", -1)
        entry.root = fds.get("root", -1)
        entry.known = self.root
        if run.cgroup is not None:
            entry.cgroup = run.cgroup.open_for_clone()
            self.joins = to_join(run, run.cgroup.placement)
            entry.joins = [fds[JOIN + place.key] for place in self.joins]
        if self.user:
            entry.flags |= b.ENTRY_USER
            if not self.setgroups:
                entry.flags |= b.ENTRY_KEEP_GROUPS
        if self.identity.lsm:
            entry.flags |= b.ENTRY_PROC
        return entry

    def _pack(self, run: Run, entry: b.Entry, cwd: str, paths: int) -> bytes:
        identity = self.identity
        return b.pack_block(
            channel_fd=run.fds["start"],
            cwd=os.fsencode(cwd),
            candidates=paths,
            uid=identity.uid,
            gid=identity.gid,
            umask=identity.umask,
            groups=identity.groups,
            bounding=identity.bounding,
            effective=identity.effective,
            permitted=identity.permitted,
            inheritable=identity.inheritable,
            ambient=identity.ambient,
            last_cap=identity.last_cap,
            no_new_privs=identity.no_new_privs,
            lsm=identity.lsm,
            rlimits=identity.rlimits,
            seccomp=run.seccomp[0] if run.seccomp else None,
            seccomp_flags=run.seccomp[1] if run.seccomp else 0,
            all_cpus=identity.all_cpus,
            entry=entry,
        )

    @staticmethod
    def _reports(run: Run) -> list[Report]:
        """What oci-exec said, which has ended, and its process, if that one could not join its
        cgroups.
        """
        channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, run.fds["report"])
        reports: list[Report] = []
        try:
            while len(reports) < MOST_REPORTS and (
                message := channel.recv(LARGEST_REPORT, MSG_DONTWAIT)
            ):
                reports.append(b.unpack_report(message))
        except BlockingIOError:
            pass
        finally:
            channel.detach()
        return reports

    def undo(self, run: Run) -> None:
        end_process(run)

    def explain(self, number: int) -> str:
        if number == errno.E2BIG:
            return too_long(self.process["args"], self.process.get("env") or ())
        return self._spawn().explain(number)

    def explain_note(self, report: Report) -> str:
        """The warning that a note of the process is."""
        if report.stage == b.STAGE_GROUPS:
            return GROUPS_FORBIDDEN
        return f"no session keyring of its own: {os.strerror(report.errno)}"

    def explain_report(self, run: Run, report: Report) -> OciError | StepError:
        """The error for a failure of oci-exec's own part (from STAGE_JOIN on)."""
        stage, number = report.stage, report.errno
        error = OSError(number, os.strerror(number))
        if stage == b.STAGE_JOIN:
            return refused(f"joining container {self.container_id}", error)
        if stage == b.STAGE_CLONE:
            found = clone_error(run, error)
            return found if isinstance(found, OciError) else explain(self._spawn(), error)
        if stage == b.STAGE_CGROUP and report.detail < len(self.joins):
            return join_error(self.joins[report.detail], error)
        if stage == b.STAGE_OUTSIDE:
            return outside(self._directory())
        if stage == b.STAGE_PROGRAM:
            program = self.process["args"][0]
            paths = candidates(program, settled(self.process.get("env") or ()))
            path = (paths[report.detail :] or paths)[0]
            return no_program(program, path, problem_words(number))
        step = self._steps().get(stage)
        return explain(self if step is None else step(), error)

    def _steps(self) -> dict[int, Callable[[], Step]]:
        """Which step would have done it, by the report's stage."""
        return {
            b.STAGE_CGROUP_NS: lambda: JoinCgroupNamespace(""),
            b.STAGE_USER_NS: lambda: BecomeRoot(setgroups=self.setgroups),
            b.STAGE_PROC: lambda: OpenProc("/process/apparmorProfile"),
            b.STAGE_ROOT: EnterRoot,
            b.STAGE_SESSION: NewSession,
            b.STAGE_KEYRING: lambda: NewKeyring(self.container_id),
            b.STAGE_STREAMS: lambda: OwnStreams(self.identity.uid),
            b.STAGE_DIRECTORY: self._directory,
        }

    def _directory(self) -> EnterDirectory:
        return EnterDirectory(self.process["cwd"])

    def _spawn(self) -> Spawn:
        """The step that does it for the other way in."""
        spawn = Spawn([], 0, [(CONTAINER, self.namespaces)], None, [], [], privileged=True)
        spawn.label = f"joining container {self.container_id}"
        return spawn


class Proceed(Step):
    """Let the process go on, when the host side has nothing more to do to it."""

    __slots__ = ()

    kind = "proceed"
    stage = "exec"

    def __init__(self) -> None:
        super().__init__("", "report channel")

    def describe(self) -> str:
        return "let the process go on"

    def execute(self, run: Run) -> None:
        try:
            run.kernel.write(run.fds["report"], b.START)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            raise OciError(death(run, self)) from None

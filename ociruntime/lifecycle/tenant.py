"""exec: one more process in a container (runc's and crun's extension of the specification).

It takes the same steps as the container's first process, from the same config, in the same order;
only the namespaces and the cgroup are joined instead of made. Everything in the container is
hostile and running: we are not dumpable before the first namespace is joined (CVE-2016-9962), and
the executable that the container can reach is sealed (CVE-2019-5736).
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from ociruntime import hostos as os
from ociruntime.cgroups.path import Placement
from ociruntime.errors import HookError, OciError, WrongStatus
from ociruntime.jsontext import dumps
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.start import connect_agent, explain_report, read_report
from ociruntime.plan.attributes import (
    affinity_steps,
    execution_steps,
    label_checks,
    label_steps,
    scheduling_steps,
)
from ociruntime.plan.environment import settled
from ociruntime.plan.host import read_host
from ociruntime.plan.identity import keeps_groups, plan_identity
from ociruntime.plan.step import ContainerStep
from ociruntime.process.executor import execute, progress, undo
from ociruntime.process.hook import execute_hook
from ociruntime.process.hookoutput import STDERR, STDOUT
from ociruntime.process.run import Run
from ociruntime.spec.tables import NAMESPACES, RLIMITS
from ociruntime.state import status as st
from ociruntime.state.document import state_document
from ociruntime.steps.cgroup import OpenCgroup, joining_steps
from ociruntime.steps.execinit import ExecInit
from ociruntime.steps.finish import RaiseRlimits, SendPidfd, SetOomScore, WritePidFile
from ociruntime.steps.hooks import hook_output_steps
from ociruntime.steps.prepare import ConnectConsole, OpenInit
from ociruntime.steps.process import (
    EnterDirectory,
    FindProgram,
    NewKeyring,
    NewSession,
    PrepareEnvironment,
)
from ociruntime.steps.rootfs import BecomeRoot, JoinCgroupNamespace
from ociruntime.steps.spawn import Spawn
from ociruntime.steps.tenant import CONTAINER, EnterRoot, LetGo, OpenContainer, OpenReport
from ociruntime.steps.terminal import AdoptTerminal, OpenTerminal, OwnStreams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from ociruntime.plan.step import Step
    from ociruntime.process.run import Observer
    from ociruntime.seccomp.listener import Agent
    from ociruntime.state.store import Container


class ExecOptions:
    """The options of ``exec`` beside the process itself; paths are absolute.

    cgroups are the values of --cgroup (``cgroups.inner``); console_fd is a connected socket for the
    terminal's master when there is no console_socket; streams are as ``Run``'s.
    """

    __slots__ = (
        "cgroups",
        "console_fd",
        "console_socket",
        "ignore_paused",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "streams",
    )

    def __init__(self) -> None:
        self.cgroups: list[str] = []
        self.console_fd = -1
        self.console_socket: str | None = None
        self.ignore_paused = False
        self.pid_file: str | None = None
        self.pidfd_socket: str | None = None
        self.preserve_fds = 0
        self.streams: tuple[int, ...] = ()


def exec_process(
    container: Container,
    process: dict[str, Any],
    options: ExecOptions,
    observer: Observer | None = None,
) -> Run:
    """Run ``process`` (as config.json's) in the container; returns when its program has been
    executed.

    Raises ``WrongStatus`` or ``OciError``; nothing of it is left then.
    """
    run = _plan(container, process, options, Kernel())
    run.observer = observer
    agent = connect_agent(container)
    try:
        if agent is not None:
            run.host_fds.append(agent.fileno())
        execute(run)
        _read_report(run, process, container, agent)
    finally:
        if agent is not None:
            agent.close()
    return run


def is_patient(container: Container, process: dict[str, Any]) -> bool:
    """Whether ``exec_patiently`` can do it: nothing about the caller's own process is changed, and
    nobody else is talked to.
    """
    agent = container.data.get("seccomp_listener")
    return agent is None and not process.get("execCPUAffinity")


def exec_patiently(
    container: Container, process: dict[str, Any], options: ExecOptions, kernel: Kernel
) -> Generator[int, None, Run]:
    """``exec_process`` for a resident process that has other things to do: each descriptor that
    comes becomes readable when there is a reason to go on.
    """
    run = _plan(container, process, options, kernel)
    yield from progress(run)
    try:
        yield run.fds["report"]
        _read_report(run, process, container, None)
    finally:
        run.close()
    return run


def _plan(
    container: Container, process: dict[str, Any], options: ExecOptions, kernel: Kernel
) -> Run:
    check_status(container, ignore_paused=options.ignore_paused)
    run = Run(kernel, [])
    if process.get("terminal") and options.console_socket:
        # Ahead of the clone: it is the process inside that sends the terminal's master.
        run.steps.append(ConnectConsole(options.console_socket))
    run.steps += label_checks(process, {}) + _seccomp_steps(container, process)
    run.steps += _joining_steps(container, process, options.cgroups)
    run.steps += _process_steps(container, process, options, run)
    if options.console_fd >= 0:
        run.fds["console"] = run.lent = options.console_fd
    run.streams = options.streams
    return run


def check_status(container: Container, *, ignore_paused: bool) -> None:
    """Only created and running containers can be joined, paused ones on request."""
    word = st.status(container)
    if word == st.STOPPED or word == st.CREATING:
        raise WrongStatus(f"cannot exec in a {word} container: {container.id}")
    if word == st.PAUSED and not ignore_paused:
        raise WrongStatus(
            "cannot exec in a paused container (use --ignore-paused to override): "
            f"{container.id}; or resume it"
        )


def _seccomp_steps(container: Container, process: dict[str, Any]) -> list[Step]:
    """The container's filter, as it was at create, holds for every process in it."""
    if not container.data.get("has_seccomp"):
        return []
    from ociruntime.steps.seccomp import PrepareSeccomp

    profile = container.config()["linux"]["seccomp"]
    privileges = bool(process.get("noNewPrivileges"))
    return [PrepareSeccomp(profile, container.store.root, no_new_privs=privileges)]


def _joining_steps(container: Container, process: dict[str, Any], cgroups: list[str]) -> list[Step]:
    data = container.data
    names = data.get("namespaces", [])
    flags = 0
    for name in names:
        flags |= NAMESPACES[name]
    own_cgroup = "cgroup" in names
    flags &= ~c.CLONE_NEWCGROUP
    joined = [(CONTAINER, flags)] if flags else []
    spawn = Spawn([], 0, joined, None, [], [], privileged=True)
    spawn.label = f"joining container {container.id}"
    own_root = "mount" in names
    placement = Placement.from_state(data["cgroup"]) if data.get("cgroup") else None
    steps: list[Step] = [
        OpenInit(),
        OpenContainer(
            container.id,
            data["pid"],
            data["start_time"],
            own_root=own_root,
            cgroup_namespace=own_cgroup,
        ),
        OpenReport(),
    ]
    entered: list[Step] = [spawn]
    if placement is not None:
        if cgroups:
            from ociruntime.cgroups.inner import choose

            placement = choose(placement, cgroups)
        steps.append(OpenCgroup(placement, data["pid"]))
        entered += joining_steps(placement)
    if own_cgroup:
        entered.append(JoinCgroupNamespace(""))
    return steps + affinity_steps(process, entered)


def _process_steps(
    container: Container, process: dict[str, Any], options: ExecOptions, run: Run
) -> list[Step]:
    data = container.data
    has_user = "user" in data.get("namespaces", ())
    setgroups = bool(data.get("setgroups", True))
    identity = plan_identity(
        process,
        read_host(run.kernel),
        run.warnings,
        new_user=has_user,
        may_setgroups=setgroups,
        keep_groups=keeps_groups(data.get("annotations")),
    )
    steps: list[Step] = []
    if data.get("rdt"):
        from ociruntime.steps.rdt import JoinRdtClass

        steps.append(JoinRdtClass(data["rdt"]))
    limits = []
    for index, entry in enumerate(process.get("rlimits") or ()):
        number = RLIMITS[entry["type"]]
        pointer = f"/rlimits/{index}"
        limits.append((pointer, entry["type"], number, entry["soft"], entry["hard"]))
        identity.rlimits.append((number, entry["soft"], entry["hard"]))
    if limits:
        steps.append(RaiseRlimits(limits))
    if process.get("oomScoreAdj") is not None:
        steps.append(SetOomScore(process["oomScoreAdj"]))
    if has_user:
        steps.append(BecomeRoot(setgroups=setgroups))
    steps += label_steps(process, identity)
    steps += [EnterRoot(), NewSession(), NewKeyring(container.id)]
    if process.get("terminal"):
        size = process.get("consoleSize") or {}
        steps.append(OpenTerminal(size.get("height", 0), size.get("width", 0)))
        steps.append(AdoptTerminal(identity.uid))
    else:
        steps.append(OwnStreams(identity.uid))
    env = settled(process.get("env") or ())
    steps += [
        EnterDirectory(process["cwd"]),
        PrepareEnvironment(env, identity.uid),
        FindProgram(process["args"][0], env, process["cwd"]),
        *scheduling_steps(process),
        *execution_steps(data.get("every_process") or {}),
        ExecInit(process["args"], identity, options.preserve_fds, wait=False),
        LetGo(),
    ]
    if options.pid_file:
        steps.append(WritePidFile(options.pid_file))
    if options.pidfd_socket:
        steps.append(SendPidfd(options.pidfd_socket, b"setns"))
    return steps


def _read_report(
    run: Run, process: dict[str, Any], container: Container, agent: Agent | None
) -> None:
    """Wait until the program is executed, or for the reason why it is not."""
    channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, run.fds.pop("report"))
    try:
        report = read_report(channel, agent, container, run.pid, st.RUNNING)
    except OciError:
        undo(run, run.steps)
        raise
    finally:
        channel.close()
    if report is not None:
        undo(run, run.steps)
        raise OciError(explain_report(report, process))


class HookInside(ContainerStep):
    """Run a startContainer hook: its path is looked up in the container
    (config.md#startcontainer-hooks).
    """

    __slots__ = ("container", "hook")

    kind = "run-hook"
    stage = "hooks"

    def __init__(self, label: str, hook: dict[str, Any], container: Container) -> None:
        super().__init__("/hooks/startContainer", label)
        self.hook = hook
        self.container = container

    def describe(self) -> str:
        return f"run the startContainer hook {self.hook['path']}"

    def operands(self) -> dict[str, object]:
        return {"path": self.hook["path"]}

    def execute(self, run: Run) -> None:
        run.kernel.fchdir(run.inside().root)
        # The container sees its first process as 1 when it has a pid namespace, else as we do.
        shared = self.container.data.get("shared_pid")
        pid = self.container.data["pid"] if shared else 1
        document = state_document(self.container, st.CREATED, pid)
        outputs = run.fds.get(STDOUT, -1), run.fds.get(STDERR, -1)
        execute_hook(self.label, self.hook, dumps(document).encode(), outputs)


def run_hook_inside(label: str, hook: dict[str, Any], container: Container) -> None:
    """Run one startContainer hook as a process of the container; raises ``HookError``."""
    outputs = hook_output_steps(container.data.get("annotations"))
    run = Run(Kernel(), outputs + _joining_steps(container, {}, []))
    if "user" in container.data.get("namespaces", ()):
        run.steps.append(BecomeRoot(setgroups=bool(container.data.get("setgroups", True))))
    run.steps += [EnterRoot(), HookInside(label, hook, container)]
    try:
        execute(run)
    except HookError:
        raise
    except OciError as error:
        raise HookError(str(error)) from None
    # It waits for its next step; there is none.
    if run.channel is not None:
        run.channel.close()
    os.waitpid(run.pid, 0)

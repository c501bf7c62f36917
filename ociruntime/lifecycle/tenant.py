"""exec: one more process in a container (runc's and crun's extension of the specification).

It takes the same steps as the container's first process, from the same config, in the same order;
only the namespaces and the cgroup are joined instead of made. Everything in the container is
hostile and running: we are not dumpable before the first namespace is joined (CVE-2016-9962), and
the executable that the container can reach is sealed (CVE-2019-5736).
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from ociruntime.cgroups.path import Placement
from ociruntime.errors import OciError, WrongStatus
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.start import connect_agent, explain_report, read_report
from ociruntime.plan.attributes import (
    affinity_steps,
    execution_steps,
    is_pinned,
    label_checks,
    label_steps,
    scheduling_steps,
)
from ociruntime.plan.environment import settled
from ociruntime.plan.host import read_powers
from ociruntime.plan.identity import keeps_groups, plan_identity
from ociruntime.process.executor import execute, undo
from ociruntime.process.patience import set_look
from ociruntime.process.run import Run
from ociruntime.spec.tables import NAMESPACES, RLIMITS
from ociruntime.state import status as st
from ociruntime.steps.cgroup import OpenCgroup, joining_steps
from ociruntime.steps.execinit import ExecInit, LetGo
from ociruntime.steps.finish import RaiseRlimits, SendPidfd, SetOomScore, WritePidFile
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
from ociruntime.steps.streams import GiveStreams, OwnStreams
from ociruntime.steps.tenant import CONTAINER, EnterRoot, OpenContainer, OpenReport
from ociruntime.steps.terminal import AdoptTerminal, OpenTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.plan.identity import Identity
    from ociruntime.plan.step import Step
    from ociruntime.process.run import Observer
    from ociruntime.seccomp.listener import Agent
    from ociruntime.state.store import Container


class ExecOptions:
    """The options of ``exec`` beside the process itself; paths are absolute.

    cgroups are the values of --cgroup (``cgroups.inner``); console_fd is a connected socket for the
    terminal's master when there is no console_socket; relayed as ``CreateOptions``'; streams and
    keeps are as ``Run``'s. program is what is executed where that is not process.args[0]; adds_home
    says whether HOME is found out when process.env lacks it.
    """

    __slots__ = (
        "adds_home",
        "cgroups",
        "console_fd",
        "console_socket",
        "ignore_paused",
        "keeps",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "program",
        "relayed",
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
        self.keeps = False
        self.program = ""
        self.relayed = False
        self.adds_home = True


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
    run = plan(container, process, options, Kernel())
    run.observer = observer
    agent = connect_agent(container)
    try:
        if agent is not None:
            run.host_fds.append(agent.fileno())
        execute(run)
        try:
            read_result(run, process, container, agent, wait=True)
        except BaseException:
            run.close()
            raise
    finally:
        if agent is not None:
            agent.close()
    return run


def plan(
    container: Container, process: dict[str, Any], options: ExecOptions, kernel: Kernel
) -> Run:
    """All that ``exec_process`` does until oci-init has taken over. Raises ``OciError``."""
    check_status(container, ignore_paused=options.ignore_paused)
    process = completed(container, process)
    run = Run(kernel, [])
    run.waits_for_thaw = options.ignore_paused
    if process.get("terminal") and options.console_socket:
        # Ahead of the clone: it is the process inside that sends the terminal's master.
        run.steps.append(ConnectConsole(options.console_socket))
    run.steps += label_checks(process, {}) + seccomp_steps(container, process)
    run.steps += _joining_steps(container, process, options.cgroups)
    run.steps += _process_steps(container, process, options, run)
    if options.console_fd >= 0:
        run.fds["console"] = run.lent = options.console_fd
    run.streams, run.keeps = options.streams, options.keeps
    return run


def completed(container: Container, process: dict[str, Any]) -> dict[str, Any]:
    """``process`` with the container's own capabilities and security label where it has none (as in
    runc and crun): no privilege and no confinement goes away because nobody spoke of it.
    """
    added = {
        name: value
        for name, value in (container.data.get("labels") or {}).items()
        if not process.get(name)
    }
    if process.get("capabilities") is None:
        own = container.config().get("process") or {}
        added["capabilities"] = own.get("capabilities")
    return {**process, **added} if added else process


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


def seccomp_steps(container: Container, process: dict[str, Any]) -> list[Step]:
    """The container's filter, as it was at create, holds for every process in it."""
    if not container.data.get("has_seccomp"):
        return []
    from ociruntime.steps.seccomp import STATE, PrepareSeccomp, ReuseSeccomp

    privileges = bool(process.get("noNewPrivileges"))
    saved = container.data.get(STATE)
    if saved is not None:
        return [ReuseSeccomp(container, saved, no_new_privs=privileges)]
    # The container was made by an older version of the runtime.
    profile = container.config()["linux"]["seccomp"]
    return [PrepareSeccomp(profile, container.store.root, no_new_privs=privileges)]


def opening_steps(
    container: Container, cgroups: list[str], program: str = "oci-init"
) -> tuple[list[Step], int, Placement | None]:
    """What is opened before the process is made: the steps, the CLONE_NEW* flags of the namespaces
    to join, and the cgroup.
    """
    data = container.data
    names = data.get("namespaces", [])
    flags = 0
    for name in names:
        flags |= NAMESPACES[name]
    placement = Placement.from_state(data["cgroup"]) if data.get("cgroup") else None
    steps: list[Step] = [
        OpenInit(program),
        OpenContainer(
            container.id,
            data["pid"],
            data["start_time"],
            own_root="mount" in names,
            known_root=known_root(data) is not None,
            cgroup_namespace="cgroup" in names,
        ),
        OpenReport(),
    ]
    if placement is not None:
        if cgroups:
            from ociruntime.cgroups.inner import choose

            placement = choose(placement, cgroups)
        opened = OpenCgroup(placement, data["pid"], user="user" in names, chosen=bool(cgroups))
        steps.append(opened)
    return steps, flags, placement


def known_root(data: dict[str, Any]) -> tuple[int, int, int] | None:
    """The root directory of a container with a mount namespace, as it was made: major and minor
    number of its device, inode. None where nobody has noted it.
    """
    noted = data.get("root")
    return tuple(noted) if noted and "mount" in data.get("namespaces", ()) else None


def _joining_steps(container: Container, process: dict[str, Any], cgroups: list[str]) -> list[Step]:
    steps, flags, placement = opening_steps(container, cgroups)
    # The process itself joins the cgroup namespace, later.
    joined = flags & ~c.CLONE_NEWCGROUP
    spawn = Spawn([], 0, [(CONTAINER, joined)] if joined else [], None, [], [], privileged=True)
    spawn.label = f"joining container {container.id}"
    entered: list[Step] = [spawn]
    if placement is not None:
        entered += joining_steps(placement, user=bool(flags & c.CLONE_NEWUSER))
    if flags & c.CLONE_NEWCGROUP:
        entered.append(JoinCgroupNamespace(""))
    return steps + affinity_steps(process, entered)


def identity_of(container: Container, process: dict[str, Any], run: Run) -> Identity:
    """What the process shall be; ``run`` gets the warnings."""
    data = container.data
    identity = plan_identity(
        process,
        read_powers(),
        run.warnings,
        new_user="user" in data.get("namespaces", ()),
        may_setgroups=bool(data.get("setgroups", True)),
        keep_groups=keeps_groups(data.get("annotations")),
    )
    identity.all_cpus = not is_pinned(process)
    for entry in process.get("rlimits") or ():
        identity.rlimits.append((RLIMITS[entry["type"]], entry["soft"], entry["hard"]))
    return identity


def outside_steps(container: Container, process: dict[str, Any]) -> list[Step]:
    """What the host side does to the process that is in its cgroup."""
    data = container.data
    steps: list[Step] = []
    if "user" in data.get("namespaces", ()) and not process.get("terminal"):
        steps.append(GiveStreams((process.get("user") or {}).get("uid", 0)))
    if data.get("rdt"):
        from ociruntime.steps.rdt import JoinRdtClass

        steps.append(JoinRdtClass(data["rdt"]))
    limits = [
        (f"/rlimits/{index}", entry["type"], RLIMITS[entry["type"]], entry["soft"], entry["hard"])
        for index, entry in enumerate(process.get("rlimits") or ())
    ]
    if limits:
        steps.append(RaiseRlimits(limits))
    if process.get("oomScoreAdj") is not None:
        steps.append(SetOomScore(process["oomScoreAdj"]))
    return steps


def _process_steps(
    container: Container, process: dict[str, Any], options: ExecOptions, run: Run
) -> list[Step]:
    data = container.data
    has_user = "user" in data.get("namespaces", ())
    setgroups = bool(data.get("setgroups", True))
    identity = identity_of(container, process, run)
    steps = outside_steps(container, process)
    if has_user:
        steps.append(BecomeRoot(setgroups=setgroups))
    steps += label_steps(process, identity)
    steps += [EnterRoot(known_root(data)), NewSession(), NewKeyring(container.id)]
    if process.get("terminal"):
        size = process.get("consoleSize") or {}
        height, width = size.get("height", 0), size.get("width", 0)
        steps.append(OpenTerminal(height, width, relayed=options.relayed))
        steps.append(AdoptTerminal(identity.uid))
    else:
        steps.append(OwnStreams(identity.uid))
    env = settled(process.get("env") or ())
    steps += [
        EnterDirectory(process["cwd"]),
        PrepareEnvironment(env, identity.uid, adds_home=options.adds_home),
        FindProgram(options.program or process["args"][0], env, process["cwd"]),
        *scheduling_steps(process, pinned=is_pinned(process)),
        *execution_steps(data.get("every_process") or {}),
        ExecInit(process["args"], identity, options.preserve_fds, wait=False),
        LetGo(),
    ]
    if options.pid_file:
        steps.append(WritePidFile(options.pid_file))
    if options.pidfd_socket:
        steps.append(SendPidfd(options.pidfd_socket, b"setns"))
    return steps


def read_result(
    run: Run,
    process: dict[str, Any],
    container: Container,
    agent: Agent | None,
    *,
    wait: bool = False,
) -> None:
    """Wait until the program is executed, or for the reason why it is not.

    With ``wait`` nothing may have come yet: the process is looked after meanwhile.
    """
    channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, run.fds.pop("report"))
    patience = None
    try:
        if wait:
            set_look(channel)
            patience = run.patience()
        report = read_report(channel, agent, container, run.pid, st.RUNNING, patience)
    except OciError:
        undo(run, run.steps)
        raise
    finally:
        channel.close()
    if report is not None:
        undo(run, run.steps)
        raise OciError(explain_report(report, process))

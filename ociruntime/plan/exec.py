"""The plan of ``exec``: one more process in a container, made by oci-exec (``steps.enter``).

open        host       the agent, the filter, the container, its cgroup
enter       host       oci-exec joins the namespaces and clones the process
settle      host       what the process must be in its cgroup for
outside     host       what takes the caller's privileges: limits, streams, OOM score
tell        host       once it has entered: pid file, pidfd
"""

from __future__ import annotations

from ociruntime.cgroups.path import Placement
from ociruntime.kernel import constants as c
from ociruntime.kernel.block import STAGE_ENTERED, STAGE_JOINED
from ociruntime.plan.attributes import (
    affinity,
    execution_steps,
    is_pinned,
    label_checks,
    scheduling_steps,
)
from ociruntime.plan.identity import keeps_groups, plan_identity
from ociruntime.plan.requests import ExecRequest
from ociruntime.process.run import CONSOLE_FD, Run
from ociruntime.spec.tables import NAMESPACES, RLIMITS
from ociruntime.steps.cgroup import OpenCgroup
from ociruntime.steps.enter import Await, EnterContainer, Proceed
from ociruntime.steps.finish import RaiseRlimits, SendPidfd, SetOomScore, WritePidFile
from ociruntime.steps.prepare import ConnectConsole, OpenInit
from ociruntime.steps.prepare_exec import ConnectAgent, OpenContainer
from ociruntime.steps.streams import GiveStreams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.kernel.kernel import Kernel
    from ociruntime.plan.host import Powers
    from ociruntime.process.identity import Identity
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import HookConfig, ProcessConfig
    from ociruntime.state.store import Container
    from ociruntime.state.stored import StoredState



def start_hook(
    hook: HookConfig, process: ProcessConfig
) -> tuple[ProcessConfig, ExecRequest]:
    """A startContainer hook as a process to ``exec`` in the created container, whose config has
    ``process``: it runs as that one would (config.md#startcontainer-hooks).
    """
    process = process.copy()
    # Of `exec` only, or of the one process that has the terminal.
    process.pop("consoleSize", None)
    process.pop("execCPUAffinity", None)
    process["terminal"] = False
    process["args"] = hook.get("args") or [hook["path"]]
    options = ExecRequest()
    options.program = hook["path"]
    if hook.get("env") is not None:
        process["env"] = hook["env"]
        options.adds_home = False
    return process, options


def build(
    container: Container,
    process: ProcessConfig,
    options: ExecRequest,
    kernel: Kernel,
    powers: Powers,
) -> Run:
    """The plan for a caller with these ``powers`` and a container that can be entered; the machine
    is asked for nothing.
    """
    run = Run(kernel, [])
    run.waits_for_thaw = options.ignore_paused
    run.streams = options.streams
    if options.console_fd >= 0:
        run.fds[CONSOLE_FD] = run.lent = options.console_fd
    steps = run.steps
    if process.get("terminal") and options.console_socket:
        steps.append(ConnectConsole(options.console_socket))
    agent = None
    listener = container.data.get("seccomp_listener")
    if listener is not None:
        agent = ConnectAgent(listener)
        steps.append(agent)
    steps += label_checks(process, {}) + seccomp_steps(container, process)
    identity = identity_of(container, process, powers, run.warnings)
    enter, settling = _entering(container, process, options, run, identity)
    if settling:
        enter.tells_joined = True
        settling = [Await(enter, STAGE_JOINED, container, agent), *settling]
    steps += [*_with_oom_score(enter, process, powers), *settling]
    steps += [*outside_steps(container, process, powers), Proceed(enter)]
    telling = _telling_steps(options)
    if telling:
        steps += [Await(enter, STAGE_ENTERED, container, agent), *telling]
    steps.append(Await(enter, 0, container, agent))
    return run


def completed(container: Container, process: ProcessConfig) -> ProcessConfig:
    """``process`` with the container's own capabilities and security label where it has none (as in
    runc and crun): no privilege and no confinement goes away because nobody spoke of it.
    """
    labels = container.data.get("labels") or {}
    added: Any = {name: value for name, value in labels.items() if not process.get(name)}
    if process.get("capabilities") is None:
        own = container.config().get("process") or {}
        added["capabilities"] = own.get("capabilities")
    if not added:
        return process
    process = process.copy()
    process.update(added)
    return process


def seccomp_steps(container: Container, process: ProcessConfig) -> list[Step]:
    """The container's filter, as it was at create, holds for every process in it."""
    if not container.data.get("has_seccomp"):
        return []
    from ociruntime.steps.seccomp import ReuseSeccomp

    privileges = bool(process.get("noNewPrivileges"))
    saved = container.data.get("seccomp_program")
    if saved is not None:
        return [ReuseSeccomp(container, saved, no_new_privs=privileges)]
    # The annotation brings it, or the container was made by an older version of the runtime.
    from ociruntime.plan.seccomp import filter_steps

    return filter_steps(container.config(), container.store.root, process)


def _entering(
    container: Container,
    process: ProcessConfig,
    options: ExecRequest,
    run: Run,
    identity: Identity,
) -> tuple[EnterContainer, list[Step]]:
    """The step that makes the process, those of the host that it must be in its cgroup for; what is
    opened before is in ``run``.
    """
    data = container.data
    names = data.get("namespaces", [])
    flags = 0
    for name in names:
        flags |= NAMESPACES[name]
    root = known_root(data)
    run.steps += [
        OpenInit("oci-exec"),
        OpenContainer(
            container.id,
            data["pid"],
            data["start_time"],
            own_root="mount" in names,
            known_root=root is not None,
            cgroup_namespace="cgroup" in names,
        ),
    ]
    settling: list[Step] = []
    saved = data.get("cgroup")
    if saved:
        placement = Placement.from_state(saved)
        if options.cgroups:
            from ociruntime.cgroups.inner import choose

            placement = choose(placement, options.cgroups)
        chosen = bool(options.cgroups)
        run.steps.append(OpenCgroup(placement, data["pid"], user="user" in names, chosen=chosen))
        if placement.unit is not None:
            from ociruntime.steps.unit import SettleUnit

            settling.append(SettleUnit(placement.unit))
    enter = EnterContainer(
        container.id,
        # The process itself joins the cgroup namespace, later.
        flags & ~c.CLONE_NEWCGROUP,
        process,
        identity,
        program=options.program or process["args"][0],
        user="user" in names,
        setgroups=bool(data.get("setgroups", True)),
        root=root,
        keep_fds=options.preserve_fds,
        adds_home=options.adds_home,
    )
    enter.relayed = options.relayed
    enter.execution = execution_steps(data.get("every_process") or {})
    enter.cpus, pinning = affinity(process)
    settling += pinning + scheduling_steps(process, pinned=is_pinned(process))
    return enter, settling


def _telling_steps(options: ExecRequest) -> list[Step]:
    """Who else is told of the process, as soon as it is certain that there is a program."""
    steps: list[Step] = []
    if options.pid_file:
        steps.append(WritePidFile(options.pid_file))
    if options.pidfd_socket:
        steps.append(SendPidfd(options.pidfd_socket, b"setns"))
    return steps


def known_root(data: StoredState) -> tuple[int, int, int] | None:
    """The root directory of a container with a mount namespace, as it was made: major and minor
    number of its device, inode. None where nobody has noted it.
    """
    noted = data.get("root")
    if not noted or "mount" not in data.get("namespaces", ()):
        return None
    major, minor, inode = noted
    return major, minor, inode


def identity_of(
    container: Container, process: ProcessConfig, powers: Powers, warnings: list[str]
) -> Identity:
    """What the process shall be; ``warnings`` are added to."""
    data = container.data
    identity = plan_identity(
        process,
        powers,
        warnings,
        new_user="user" in data.get("namespaces", ()),
        may_setgroups=bool(data.get("setgroups", True)),
        keep_groups=keeps_groups(data.get("annotations")),
    )
    identity.all_cpus = not is_pinned(process)
    for entry in process.get("rlimits") or ():
        identity.rlimits.append((RLIMITS[entry["type"]], entry["soft"], entry["hard"]))
    return identity


def outside_steps(
    container: Container, process: ProcessConfig, powers: Powers
) -> list[Step]:
    """What the host side does to the process that is in its cgroup."""
    data = container.data
    steps: list[Step] = []
    if "user" in data.get("namespaces", ()) and not process.get("terminal"):
        steps.append(GiveStreams((process.get("user") or {}).get("uid", 0)))
    rdt = data.get("rdt")
    if rdt:
        from ociruntime.steps.rdt import JoinRdtClass

        steps.append(JoinRdtClass(rdt))
    limits = [
        (f"/rlimits/{index}", entry["type"], RLIMITS[entry["type"]], entry["soft"], entry["hard"])
        for index, entry in enumerate(process.get("rlimits") or ())
    ]
    if limits:
        steps.append(RaiseRlimits(limits))
    if process.get("oomScoreAdj") is not None and powers.euid == 0:
        steps.append(SetOomScore(process["oomScoreAdj"]))
    return steps


def _with_oom_score(
    enter: EnterContainer, process: ProcessConfig, powers: Powers
) -> list[Step]:
    """``enter``, between the steps that give its process process.oomScoreAdj for who is not root:
    root can give it afterwards.
    """
    value = process.get("oomScoreAdj")
    if value is None or powers.euid == 0:
        return [enter]
    # Imported for the callers who need it.
    from ociruntime.steps.oomscore import LendOomScore, TakeOomScoreBack

    lent = LendOomScore(value)
    return [lent, enter, TakeOomScoreBack(lent)]

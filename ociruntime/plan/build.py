"""The plan of ``create``: a pure function of the config, the host's facts and the command's
options.

The order of the list is the order of execution. Steps between two of the host side run in init,
steps between two of the container side on the host.

    prepare     host       claim the id, open everything, make the cgroup
    spawn       host       clone init into its namespaces, write id maps
    attach      host       record it, put it into the cgroup, limit devices
    namespaces  container  become root of the user namespace, cgroup namespace, loopback
    settings    container  hostname, sysctls
    rootfs      container  rootfs, mounts, devices, terminal
    hooks       host       prestart, createRuntime
    hooks       container  createContainer
    masks       container  read-only root, masked and read-only paths
    enter       container  pivot_root
    process     container  session, keyring, working directory, program
    exec        container  become oci-init, which waits for `start`
    finish      host       limits, pid file, state
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.detect import DISABLED, Layout
from ociruntime.cgroups.path import place
from ociruntime.errors import PlanError
from ociruntime.kernel import constants as c
from ociruntime.plan.annotations import delegated_of, refuse_annotations, subgroup_of
from ociruntime.plan.attributes import (
    execution_steps,
    for_every_process,
    label_checks,
    label_steps,
    labels,
    scheduling_steps,
)
from ociruntime.plan.cgroup import cgroup_delegation, cgroup_steps
from ociruntime.plan.identity import keeps_groups, plan_identity
from ociruntime.plan.limits import rlimits
from ociruntime.plan.mounts import (
    cgroup_sources,
    device_steps,
    label_option,
    mask_steps,
    mount_steps,
)
from ociruntime.plan.namespaces import NamespacePlan, require_host_rights
from ociruntime.plan.netdevices import net_device_steps
from ociruntime.plan.rdt import rdt_steps
from ociruntime.plan.seccomp import filter_steps, has_filter
from ociruntime.process.environment import settled
from ociruntime.process.hook import hooks_of
from ociruntime.process.step import CONTAINER, HOST, Step
from ociruntime.spec.idmaps import is_own_id
from ociruntime.spec.sysctl import sysctl_path
from ociruntime.spec.tables import PROPAGATION
from ociruntime.steps.execinit import ExecInit, LetGo
from ociruntime.steps.finish import (
    RecordInit,
    SaveCreated,
    SendPidfd,
    SetOomScore,
    SetRlimits,
    WritePidFile,
)
from ociruntime.steps.hooks import RunHook
from ociruntime.steps.loopback import RaiseLoopback
from ociruntime.steps.prepare import (
    ClaimState,
    ConnectConsole,
    ListenForStart,
    OpenInit,
    OpenRootfs,
)
from ociruntime.steps.process import (
    EnterDirectory,
    FindProgram,
    MakeDirectory,
    NewKeyring,
    NewSession,
    PrepareEnvironment,
)
from ociruntime.steps.rootfs import (
    AttachRootfs,
    BecomeRoot,
    Chroot,
    JoinCgroupNamespace,
    MoveRoot,
    Pivot,
    ReadonlyRoot,
    RootPropagation,
    UnshareCgroup,
    UnshareIpc,
    UseRootfs,
)
from ociruntime.steps.settings import SetDomainname, SetHostname, SetSysctls
from ociruntime.steps.streams import GiveStreams, OwnStreams
from ociruntime.steps.terminal import AdoptTerminal, BindConsole, OpenTerminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.path import Placement
    from ociruntime.plan.host import Host
    from ociruntime.plan.requests import CreateRequest
    from ociruntime.process.identity import Identity
    from ociruntime.seccomp.stored import StoredListener
    from ociruntime.spec.documents import Config, LinuxConfig, ProcessConfig
    from ociruntime.state.stored import StoredState



# An annotation of crun's: what --pidfd-socket does.
PIDFD_RECEIVER = "run.oci.pidfd_receiver"
NO_PROCESS: ProcessConfig = {"cwd": "/", "args": ["/"]}


class Plan:
    """The steps, what is stored about the container, and what was ignored on purpose."""

    __slots__ = ("state", "steps", "warnings")

    def __init__(self, steps: list[Step], state: StoredState, warnings: list[str]) -> None:
        self.steps = steps
        self.state = state
        self.warnings = warnings


def build(config: Config, raw: bytes, host: Host, options: CreateRequest) -> Plan:
    """The plan that creates the container ``options.id``.

    Parameters: ``raw`` is the text of the config, stored with the container. Raises ``PlanError``
    for what this host or caller cannot do. No syscall is made.
    """
    return _Builder(config, raw, host, options).build()


class _Builder:
    def __init__(self, config: Config, raw: bytes, host: Host, options: CreateRequest) -> None:
        self.config = config
        self.raw = raw
        self.host = host
        self.options = options
        self.linux: LinuxConfig = config.get("linux") or {}
        self.process: ProcessConfig | None = config.get("process")
        self.warnings: list[str] = []
        names = bool(config.get("hostname") or config.get("domainname"))
        self.namespaces = NamespacePlan(self.linux, host, names=names)
        self.rootfs = os.path.normpath(
            os.path.join(options.bundle, (config.get("root") or {}).get("path") or "rootfs")
        )
        self.has_mount_ns = self.namespaces.has("mount")
        self.terminal = bool(self.process and self.process.get("terminal"))

    def build(self) -> Plan:
        self._refuse_what_cannot_work()
        layout = self.host.cgroups if self.options.cgroups else Layout(DISABLED, [])
        placement = self._placement(layout)
        cgroup = cgroup_steps(
            self.config,
            placement,
            layout,
            rootless=not self.host.privileged,
            warnings=self.warnings,
        )
        opens, mounts, late = mount_steps(
            self.config,
            self.namespaces,
            self.host,
            self.options.bundle,
            self.rootfs,
            self.warnings,
        )
        nodes, self.devices = device_steps(self.config, self.namespaces, self.host)
        state = self._state()
        # Without a process there is a container to hold, but nothing to start (config.md#process).
        process = self.process or NO_PROCESS
        identity = self._identity(process)
        steps: list[Step] = [
            ClaimState(self.options.store, self.options.id, state, self.raw, placement)
        ]
        steps += [*self.options.beginning, *label_checks(process, self.linux)]
        steps += filter_steps(self.config, self.options.store.root, process)
        steps += self._prepare(opens) + nodes
        steps += cgroup["prepare"]
        sources = cgroup_sources(self.config, self.namespaces, self.host)
        steps += [step for step in sources if step.side == HOST]
        opens += [step for step in sources if step.side == CONTAINER]
        make_class, join_class = rdt_steps(self.linux, self.options.id)
        steps += make_class
        steps += [self.namespaces.spawn, RecordInit(), *join_class]
        # What has left our user namespace by the time of the clone cannot enter another's cgroup.
        given, entered = cgroup_delegation(
            self.config, self.namespaces, self.host, layout, placement.delegated
        )
        steps += given
        if self.namespaces.has("user") and not self.terminal:
            steps.append(GiveStreams(identity.uid))
        steps += net_device_steps(self.linux)
        steps += cgroup["attach"]
        steps += self._namespace_steps()
        steps += entered
        steps += label_steps(process)
        steps += self._settings()
        steps += self._rootfs(opens, mounts)
        hooks = self._hooks()
        steps += cgroup["devices"] + hooks if hooks else []
        steps += self._enter(late)
        steps += self._process(process, identity)
        # Without hooks the first program that could use a device is the container's own.
        steps += [] if hooks else cgroup["devices"]
        steps += cgroup["finish"]
        steps += self._finish()
        return Plan(steps, state, self.warnings)

    def _placement(self, layout: Layout) -> Placement:
        """Where the container's cgroup is, and with --systemd-cgroup which unit."""
        path = self.linux.get("cgroupsPath")
        annotations = self.config.get("annotations") or {}
        delegated = delegated_of(annotations, layout)
        if not self.options.systemd or not layout.hierarchies:
            placement = place(layout, path, self.options.id)
            placement.delegated = delegated
            return placement
        from ociruntime.cgroups.systemd.path import place_unit
        from ociruntime.cgroups.systemd.properties import annotated

        user = self.options.systemd == "user"
        placement = place_unit(layout, path, self.options.id, user=user)
        if placement.unit is not None:
            placement.unit.properties = annotated(annotations)
            placement.unit.subgroup = subgroup_of(annotations)
        placement.delegated = delegated
        return placement

    def _refuse_what_cannot_work(self) -> None:
        require_host_rights(self.host, self.namespaces)
        refuse_annotations(self.config.get("annotations") or {})
        if self.config.get("mounts") and not self.has_mount_ns:
            raise PlanError(
                "mounts without a mount namespace would be the host's",
                "/mounts",
                'add {"type": "mount"} to linux.namespaces',
            )
        if self.terminal and not self.options.console_socket and self.options.console_fd < 0:
            raise PlanError(
                "cannot allocate tty if runc will detach without setting console socket: "
                "process.terminal is set",
                "/process/terminal",
                "give --console-socket, or use `run` without --detach",
            )
        if not self.terminal and self.options.console_socket:
            raise PlanError(
                "cannot use console socket if runc will not detach or allocate tty: "
                "process.terminal is not set",
                "/process/terminal",
                "leave --console-socket out",
            )
        propagation = self.linux.get("rootfsPropagation") or ""
        if not self.options.pivot and propagation.endswith("private"):
            raise PlanError(
                f"linux.rootfsPropagation {propagation} cannot be had with --no-pivot",
                "/linux/rootfsPropagation",
                "leave one of them out",
            )

    def _prepare(self, opens: list[Step]) -> list[Step]:
        steps: list[Step] = [OpenInit("oci-setup"), OpenInit()]
        if self.terminal and self.options.console_socket:
            steps.append(ConnectConsole(self.options.console_socket))
        steps += self.namespaces.opens
        if self.has_mount_ns and self._host_opens_mounts():
            steps.append(OpenRootfs(self.rootfs, c.MS_SLAVE, HOST))
        steps += [step for step in opens if step.side == HOST]
        steps.append(ListenForStart(os.path.join(self.options.store.root, self.options.id)))
        return steps

    def _seccomp_listener(self) -> StoredListener | None:
        if not self.linux.get("seccomp"):
            return None
        from ociruntime.seccomp.profile import listener_of

        return listener_of(self.config)

    def _host_opens_mounts(self) -> bool:
        joined = any(name == "mount" for name, _ in self.namespaces.joined)
        return self.host.owns_mounts and not joined

    def _namespace_steps(self) -> list[Step]:
        steps: list[Step] = []
        if self.namespaces.has("user"):
            steps.append(BecomeRoot(setgroups=self._may_setgroups()))
            if self.namespaces.is_new("ipc"):
                steps.append(UnshareIpc(self.namespaces.pointers["ipc"]))
        if self.namespaces.joins_cgroup:
            steps.append(JoinCgroupNamespace(self.namespaces.pointers["cgroup"]))
        if self.namespaces.is_new("cgroup"):
            steps.append(UnshareCgroup(self.namespaces.pointers["cgroup"]))
        if self.namespaces.is_new("network"):
            steps.append(RaiseLoopback(self.namespaces.pointers["network"]))
        return steps

    def _may_setgroups(self) -> bool:
        """Whether the container may change its groups: mapping only one's own gid forbids it."""
        if keeps_groups(self.config.get("annotations")):
            return False
        if not self.host.may_setgroups:
            return False
        if not self.namespaces.is_new("user") or self.host.privileged:
            return True
        return not is_own_id(self.namespaces.gid_maps, self.host.egid)

    def _settings(self) -> list[Step]:
        steps: list[Step] = []
        if self.config.get("hostname"):
            steps.append(SetHostname(self.config["hostname"]))
        if self.config.get("domainname"):
            steps.append(SetDomainname(self.config["domainname"]))
        sysctls = self.linux.get("sysctl")
        if sysctls:
            values = []
            for name, value in sysctls.items():
                pointer = "/linux/sysctl/" + name.replace("~", "~0").replace("/", "~1")
                values.append((pointer, sysctl_path(name), value.removesuffix("\n")))
            steps.append(SetSysctls(values))
        return steps

    def _rootfs(self, opens: list[Step], mounts: list[Step]) -> list[Step]:
        steps: list[Step] = []
        if not self.has_mount_ns:
            steps.append(UseRootfs(self.rootfs))
        else:
            if not self._host_opens_mounts():
                steps.append(OpenRootfs(self.rootfs, c.MS_SLAVE, CONTAINER))
                steps += [step for step in opens if step.side == CONTAINER]
            steps.append(AttachRootfs(self.rootfs))
        steps += mounts + self.devices
        if self.terminal and self.process:
            size = self.process.get("consoleSize") or {}
            height, width = size.get("height", 0), size.get("width", 0)
            steps.append(OpenTerminal(height, width, relayed=self.options.relayed))
            if self.has_mount_ns:
                steps.append(BindConsole())
        steps.append(MakeDirectory((self.process or NO_PROCESS)["cwd"]))
        return steps

    def _hooks(self) -> list[Step]:
        hooks = self.config.get("hooks") or {}
        poststop = hooks.get("poststop") or []
        steps: list[Step] = []
        for phase in ("prestart", "createRuntime", "createContainer"):
            for index, hook in enumerate(hooks_of(self.config, phase)):
                steps.append(RunHook(phase, index, hook, "creating", poststop))
        return steps

    def _enter(self, late: list[Step]) -> list[Step]:
        steps: list[Step] = []
        if not self.has_mount_ns:
            return [Chroot()]
        steps += late + mask_steps(self.linux, label_option(self.config))
        if (self.config.get("root") or {}).get("readonly"):
            steps.append(ReadonlyRoot())
        steps.append(Pivot() if self.options.pivot else MoveRoot(self.rootfs))
        propagation = self.linux.get("rootfsPropagation")
        if propagation:
            steps.append(RootPropagation(propagation, PROPAGATION[propagation]))
        return steps

    def _process(self, process: ProcessConfig, identity: Identity) -> list[Step]:
        env = settled([*(process.get("env") or ()), *self.options.variables])
        steps: list[Step] = [NewSession()]
        if self.options.new_keyring:
            steps.append(NewKeyring(self.options.id))
        if self.terminal:
            steps.append(AdoptTerminal(identity.uid))
        else:
            steps.append(OwnStreams(identity.uid))
        steps.append(EnterDirectory(process["cwd"]))
        steps.append(PrepareEnvironment(env, identity.uid))
        if self.process:
            steps.append(FindProgram(process["args"][0], env, process["cwd"]))
        steps += execution_steps(self.linux)
        identity.rlimits += rlimits(process, self.options.preserve_fds)[1]
        steps.append(ExecInit(process["args"], identity, self.options.preserve_fds))
        steps.append(LetGo())
        return steps

    def _identity(self, process: ProcessConfig) -> Identity:
        return plan_identity(
            process,
            self.host,
            self.warnings,
            new_user=self.namespaces.has("user"),
            may_setgroups=self._may_setgroups(),
            keep_groups=keeps_groups(self.config.get("annotations")),
        )

    def _finish(self) -> list[Step]:
        process = self.process or {}
        steps: list[Step] = []
        limits, _ = rlimits(process, self.options.preserve_fds)
        if limits:
            steps.append(SetRlimits(limits))
        if process.get("oomScoreAdj") is not None:
            steps.append(SetOomScore(process["oomScoreAdj"]))
        steps += scheduling_steps(process)
        if self.options.pid_file:
            steps.append(WritePidFile(self.options.pid_file))
        receiver = (self.config.get("annotations") or {}).get(PIDFD_RECEIVER)
        for path in dict.fromkeys((self.options.pidfd_socket, receiver)):
            if path:
                steps.append(SendPidfd(path, b"standard"))
        steps.append(SaveCreated())
        return steps

    def _state(self) -> StoredState:
        """What later commands must know without reading the config again."""
        hooks = self.config.get("hooks") or {}
        return {
            "version": 1,
            "ociVersion": self.config["ociVersion"],
            "status": "creating",
            "bundle": self.options.bundle,
            "rootfs": self.rootfs,
            "pid": 0,
            "start_time": 0,
            "has_process": self.process is not None,
            "setgroups": self._may_setgroups(),
            "namespaces": list(self.namespaces.pointers),
            "shared_pid": not self.namespaces.is_new("pid"),
            "terminal": self.terminal,
            "hooks": [phase for phase, listed in hooks.items() if listed],
            "annotations": self.config.get("annotations") or {},
            "every_process": for_every_process(self.linux),
            "labels": labels(self.process or {}),
            "has_seccomp": has_filter(self.config),
            "seccomp_listener": self._seccomp_listener(),
            "pid_file": self.options.pid_file,
        }

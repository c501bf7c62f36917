"""GENERATED from schemas/*.json by ociruntime/spec/compile_types.py: do not edit.

The documents of the specification, and what ``plan`` prints, as types.
"""
# fmt: off

from typing import Any, NotRequired, TypedDict

class Config(TypedDict, total=False):
    ociVersion: str
    root: RootConfig
    mounts: list[MountConfig]
    process: ProcessConfig
    hostname: str
    domainname: str
    hooks: HooksConfig
    annotations: dict[str, str]
    linux: LinuxConfig
    windows: dict[str, Any]
    solaris: dict[str, Any]
    vm: dict[str, Any]
    zos: dict[str, Any]
    freebsd: dict[str, Any]

class RootConfig(TypedDict, total=False):
    path: str
    readonly: bool

class MountConfig(TypedDict, total=False):
    destination: str
    source: str
    type: str
    options: list[str]
    uidMappings: list[IDMappingConfig]
    gidMappings: list[IDMappingConfig]

class IDMappingConfig(TypedDict, total=False):
    containerID: int
    hostID: int
    size: int

class ProcessConfig(TypedDict, total=False):
    terminal: bool
    consoleSize: ProcessConsoleSizeConfig
    cwd: str
    env: list[str]
    args: list[str]
    commandLine: str
    user: UserConfig
    capabilities: ProcessCapabilitiesConfig
    rlimits: list[ProcessRlimitConfig]
    apparmorProfile: str
    selinuxLabel: str
    oomScoreAdj: int
    noNewPrivileges: bool
    scheduler: ProcessSchedulerConfig
    ioPriority: ProcessIoPriorityConfig
    execCPUAffinity: ProcessExecCPUAffinityConfig

class ProcessConsoleSizeConfig(TypedDict, total=False):
    height: int
    width: int

class UserConfig(TypedDict, total=False):
    uid: int
    gid: int
    umask: int
    additionalGids: list[int]
    username: str

class ProcessCapabilitiesConfig(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    permitted: list[str]
    inheritable: list[str]
    ambient: list[str]

class ProcessRlimitConfig(TypedDict, total=False):
    type: str
    soft: int
    hard: int

class ProcessSchedulerConfig(TypedDict, total=False):
    policy: str
    nice: int
    priority: int
    flags: list[str]
    runtime: int
    deadline: int
    period: int

ProcessIoPriorityConfig = TypedDict("ProcessIoPriorityConfig", {
    "class": str,
    "priority": int,
}, total=False)

class ProcessExecCPUAffinityConfig(TypedDict, total=False):
    initial: str
    final: str

class HooksConfig(TypedDict, total=False):
    prestart: list[HookConfig]
    createRuntime: list[HookConfig]
    createContainer: list[HookConfig]
    startContainer: list[HookConfig]
    poststart: list[HookConfig]
    poststop: list[HookConfig]

class HookConfig(TypedDict, total=False):
    path: str
    args: list[str]
    env: list[str]
    timeout: int

class LinuxConfig(TypedDict, total=False):
    namespaces: list[NamespaceConfig]
    uidMappings: list[IDMappingConfig]
    gidMappings: list[IDMappingConfig]
    timeOffsets: LinuxTimeOffsetsConfig
    devices: list[DeviceConfig]
    netDevices: dict[str, NetDeviceConfig]
    cgroupsPath: str
    resources: ResourcesConfig
    rootfsPropagation: str
    seccomp: SeccompConfig
    sysctl: dict[str, str]
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    intelRdt: LinuxIntelRdtConfig
    memoryPolicy: LinuxMemoryPolicyConfig
    personality: LinuxPersonalityConfig

class NamespaceConfig(TypedDict, total=False):
    type: str
    path: str

class LinuxTimeOffsetsConfig(TypedDict, total=False):
    monotonic: TimeOffsetConfig
    boottime: TimeOffsetConfig

class TimeOffsetConfig(TypedDict, total=False):
    secs: int
    nanosecs: int

class DeviceConfig(TypedDict, total=False):
    type: str
    path: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int

class NetDeviceConfig(TypedDict, total=False):
    name: str

class ResourcesConfig(TypedDict, total=False):
    unified: dict[str, str]
    devices: list[ResourcesDeviceConfig]
    memory: ResourcesMemoryConfig
    cpu: ResourcesCpuConfig
    blockIO: ResourcesBlockIOConfig
    hugepageLimits: list[ResourcesHugepageLimitConfig]
    network: ResourcesNetworkConfig
    pids: ResourcesPidsConfig
    rdma: dict[str, ResourcesRdmaConfig]

class ResourcesDeviceConfig(TypedDict, total=False):
    allow: bool
    type: str
    major: int
    minor: int
    access: str

class ResourcesMemoryConfig(TypedDict, total=False):
    limit: int
    reservation: int
    swap: int
    kernel: int
    kernelTCP: int
    swappiness: int
    disableOOMKiller: bool
    useHierarchy: bool
    checkBeforeUpdate: bool

class ResourcesCpuConfig(TypedDict, total=False):
    shares: int
    quota: int
    burst: int
    period: int
    realtimeRuntime: int
    realtimePeriod: int
    cpus: str
    mems: str
    idle: int

class ResourcesBlockIOConfig(TypedDict, total=False):
    weight: int
    leafWeight: int
    weightDevice: list[WeightDeviceConfig]
    throttleReadBpsDevice: list[ThrottleConfig]
    throttleWriteBpsDevice: list[ThrottleConfig]
    throttleReadIOPSDevice: list[ThrottleConfig]
    throttleWriteIOPSDevice: list[ThrottleConfig]

class WeightDeviceConfig(TypedDict, total=False):
    major: int
    minor: int
    weight: int
    leafWeight: int

class ThrottleConfig(TypedDict, total=False):
    major: int
    minor: int
    rate: int

class ResourcesHugepageLimitConfig(TypedDict, total=False):
    pageSize: str
    limit: int

class ResourcesNetworkConfig(TypedDict, total=False):
    classID: int
    priorities: list[ResourcesNetworkPriorityConfig]

class ResourcesNetworkPriorityConfig(TypedDict, total=False):
    name: str
    priority: int

class ResourcesPidsConfig(TypedDict, total=False):
    limit: int

class ResourcesRdmaConfig(TypedDict, total=False):
    hcaHandles: int
    hcaObjects: int

class SeccompConfig(TypedDict, total=False):
    defaultAction: str
    defaultErrnoRet: int
    architectures: list[str]
    flags: list[str]
    listenerPath: str
    listenerMetadata: str
    syscalls: list[SyscallConfig]

class SyscallConfig(TypedDict, total=False):
    names: list[str]
    action: str
    errnoRet: int
    args: list[SyscallArgConfig]

class SyscallArgConfig(TypedDict, total=False):
    index: int
    value: int
    valueTwo: int
    op: str

class LinuxIntelRdtConfig(TypedDict, total=False):
    closID: str
    schemata: list[str]
    l3CacheSchema: str
    memBwSchema: str
    enableMonitoring: bool

class LinuxMemoryPolicyConfig(TypedDict, total=False):
    mode: str
    nodes: str
    flags: list[str]

class LinuxPersonalityConfig(TypedDict, total=False):
    domain: str
    flags: list[str]

class StateDocument(TypedDict):
    ociVersion: str
    id: str
    status: str
    pid: NotRequired[int]
    bundle: str
    annotations: NotRequired[dict[str, str]]

class FeaturesDocument(TypedDict):
    ociVersionMin: str
    ociVersionMax: str
    hooks: NotRequired[list[str] | None]
    mountOptions: NotRequired[list[str] | None]
    annotations: NotRequired[dict[str, str] | None]
    potentiallyUnsafeConfigAnnotations: NotRequired[list[str] | None]
    linux: NotRequired[FeaturesLinux | None]

class FeaturesLinux(TypedDict):
    namespaces: NotRequired[list[str] | None]
    capabilities: NotRequired[list[str] | None]
    cgroup: NotRequired[FeaturesLinuxCgroup | None]
    seccomp: NotRequired[FeaturesLinuxSeccomp | None]
    apparmor: NotRequired[FeaturesLinuxApparmor | None]
    selinux: NotRequired[FeaturesLinuxSelinux | None]
    netDevices: NotRequired[FeaturesLinuxNetDevices | None]
    intelRdt: NotRequired[FeaturesLinuxIntelRdt | None]
    memoryPolicy: NotRequired[FeaturesLinuxMemoryPolicy | None]
    mountExtensions: NotRequired[FeaturesLinuxMountExtensions | None]

class FeaturesLinuxCgroup(TypedDict):
    v1: NotRequired[bool | None]
    v2: NotRequired[bool | None]
    systemd: NotRequired[bool | None]
    systemdUser: NotRequired[bool | None]
    rdma: NotRequired[bool | None]

class FeaturesLinuxSeccomp(TypedDict):
    enabled: NotRequired[bool | None]
    actions: NotRequired[list[str] | None]
    operators: NotRequired[list[str] | None]
    archs: NotRequired[list[str] | None]
    knownFlags: NotRequired[list[str] | None]
    supportedFlags: NotRequired[list[str] | None]

class FeaturesLinuxApparmor(TypedDict):
    enabled: NotRequired[bool | None]

class FeaturesLinuxSelinux(TypedDict):
    enabled: NotRequired[bool | None]

class FeaturesLinuxNetDevices(TypedDict):
    enabled: NotRequired[bool | None]

class FeaturesLinuxIntelRdt(TypedDict):
    enabled: NotRequired[bool | None]
    schemata: NotRequired[bool | None]
    monitoring: NotRequired[bool | None]

class FeaturesLinuxMemoryPolicy(TypedDict):
    modes: NotRequired[list[str] | None]
    flags: NotRequired[list[str] | None]

class FeaturesLinuxMountExtensions(TypedDict):
    idmap: NotRequired[FeaturesLinuxMountExtensionsIdmap | None]

class FeaturesLinuxMountExtensionsIdmap(TypedDict):
    enabled: NotRequired[bool | None]

class PlanDocument(TypedDict):
    id: str
    operation: str
    bundle: str
    host: PlanHost
    steps: list[PlanStep]
    warnings: list[str]

class PlanHost(TypedDict):
    euid: int
    egid: int
    inUserNamespace: bool
    capabilities: str
    lastCapability: int
    cgroups: PlanHostCgroups

class PlanHostCgroups(TypedDict):
    mode: str
    hierarchies: list[PlanHierarchy]

class PlanHierarchy(TypedDict):
    name: str
    controllers: list[str]
    mountpoint: str
    root: str
    own: str

class PlanStep(TypedDict):
    name: str
    step: str
    side: str
    stage: str
    pointer: str
    description: str
    operands: dict[str, Any]

"""Attributes of the process that survive execve(2): scheduling, I/O priority, CPUs, memory policy,
execution domain.

Scheduling is set from the host side, with the caller's privileges: root of a user namespace may
not raise its own. Memory policy and execution domain can only be set by the process itself.
"""

from __future__ import annotations

import errno
from _struct import pack

from ociruntime.kernel.block import STAGE_MEMORY, STAGE_PERSONA
from ociruntime.process.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.execblock import ExecBlock
    from ociruntime.process.run import Run

# linux/ioprio.h
IOPRIO_WHO_PROCESS = 1
# sizeof(struct sched_attr) in its first version: all that the specification has.
SCHED_ATTR_SIZE = 48
SCHED_DEADLINE = 6
# No kernel has more (CONFIG_NR_CPUS).
CPUS = 8192


class SetScheduler(Step):
    """process.scheduler (config.md#linux-process, sched_setattr(2)).

    Parameters: numbers of the kernel; ``times`` are runtime, deadline and period in ns. ``pinned``
    says that the process keeps its CPUs; else one with a deadline is freed of our caller's first:
    the kernel grants deadlines only to those who may run everywhere in their cpuset.
    """

    __slots__ = ("flags", "nice", "pinned", "policy", "priority", "times")

    kind = "set-scheduler"
    stage = "finish"

    def __init__(
        self,
        name: str,
        policy: int,
        flags: int,
        nice: int,
        priority: int,
        times: tuple[int, int, int],
        *,
        pinned: bool = False,
    ) -> None:
        super().__init__("/process/scheduler", f"process.scheduler {name}")
        self.policy = policy
        self.flags = flags
        self.nice = nice
        self.priority = priority
        self.times = times
        self.pinned = pinned

    def describe(self) -> str:
        return f"set the scheduling policy {self.label.partition(' ')[2]}"

    def execute(self, run: Run) -> None:
        if self.policy == SCHED_DEADLINE and not self.pinned:
            run.kernel.invoke("sched_setaffinity", run.pid, *_mask(list(range(CPUS))))
        head = (SCHED_ATTR_SIZE, self.policy, self.flags, self.nice, self.priority)
        attributes = bytearray(pack("=IIQiIQQQ", *head, *self.times))
        run.kernel.invoke("sched_setattr", run.pid, attributes, 0)

    def explain(self, number: int) -> str:
        return {
            errno.EPERM: "it needs CAP_SYS_NICE on the host; in a v1 cpu cgroup a real-time policy "
            "also needs linux.resources.cpu.realtimeRuntime",
            errno.EBUSY: "the CPUs have no room for this deadline; lower runtime or raise period",
            errno.EINVAL: "the kernel refuses this combination of policy, priority and times",
        }.get(number, "")


class SetIoPriority(Step):
    """process.ioPriority (config.md#linux-process, ioprio_set(2))."""

    __slots__ = ("value",)

    kind = "set-io-priority"
    stage = "finish"

    def __init__(self, name: str, value: int) -> None:
        super().__init__("/process/ioPriority", f"process.ioPriority {name}")
        self.value = value

    def describe(self) -> str:
        return f"set the I/O priority {self.label.partition(' ')[2]}"

    def execute(self, run: Run) -> None:
        run.kernel.invoke("ioprio_set", IOPRIO_WHO_PROCESS, run.pid, self.value)

    def explain(self, number: int) -> str:
        if number == errno.EPERM:
            return "the class IOPRIO_CLASS_RT needs CAP_SYS_NICE on the host"
        return ""


class PinProcess(Step):
    """process.execCPUAffinity.final: the CPUs of the process once it is in the container's
    cgroup.
    """

    __slots__ = ("cpus",)

    kind = "pin-process"
    stage = "attach"

    def __init__(self, cpus: list[int]) -> None:
        super().__init__("/process/execCPUAffinity/final", "process.execCPUAffinity.final")
        self.cpus = cpus

    def describe(self) -> str:
        return f"run the process on the CPUs {_join(self.cpus)}"

    def execute(self, run: Run) -> None:
        run.kernel.invoke("sched_setaffinity", run.pid, *_mask(self.cpus))

    def explain(self, number: int) -> str:
        return explain_cpus(number)


class ProcessSetting(ContainerStep):
    """What only the process itself can set; oci-exec's reports a failure as ``reported``."""

    __slots__ = ()

    stage = "process"
    reported = 0

    def compile(self, block: ExecBlock) -> None:
        """Have oci-exec's process do it."""
        raise NotImplementedError(self.kind)


class SetMemoryPolicy(ProcessSetting):
    """linux.memoryPolicy, for all that the process will allocate (set_mempolicy(2)).

    Parameters: ``mode`` with its flags as the kernel takes it; ``nodes`` numbers of NUMA nodes.
    """

    __slots__ = ("mode", "nodes")

    reported = STAGE_MEMORY

    kind = "set-memory-policy"

    def __init__(self, name: str, mode: int, nodes: list[int]) -> None:
        super().__init__("/linux/memoryPolicy", f"linux.memoryPolicy {name}")
        self.mode = mode
        self.nodes = nodes

    def describe(self) -> str:
        where = f" on the nodes {_join(self.nodes)}" if self.nodes else ""
        return f"set the memory policy {self.label.partition(' ')[2]}{where}"

    def execute(self, run: Run) -> None:
        if not self.nodes:
            run.inner.invoke("set_mempolicy", self.mode, None, 0)
            return
        size, mask = _mask(self.nodes)
        # The kernel takes one bit less than it is told (set_mempolicy(2), "maxnode").
        run.inner.invoke("set_mempolicy", self.mode, mask, size * 8 + 1)

    def compile(self, block: ExecBlock) -> None:
        block.memory = self.mode, mask_of(self.nodes)

    def explain(self, number: int) -> str:
        return {
            errno.EINVAL: "a node does not exist or is not in the container's cpuset, or this "
            "kernel lacks the mode; see /sys/devices/system/node/online",
            errno.ENOSYS: "this kernel has no NUMA policies",
        }.get(number, "")


class SetPersonality(ProcessSetting):
    """linux.personality (personality(2))."""

    __slots__ = ("persona",)

    reported = STAGE_PERSONA

    kind = "set-personality"

    def __init__(self, name: str, persona: int) -> None:
        super().__init__("/linux/personality", f"linux.personality {name}")
        self.persona = persona

    def describe(self) -> str:
        return f"set the execution domain {self.label.partition(' ')[2]}"

    def execute(self, run: Run) -> None:
        run.inner.invoke("personality", self.persona)

    def compile(self, block: ExecBlock) -> None:
        block.persona = self.persona


def explain_cpus(number: int) -> str:
    """What an errno of sched_setaffinity(2) means."""
    return {
        errno.EINVAL: "none of these CPUs exists, is online and in the process's cpuset",
        errno.EPERM: "it needs CAP_SYS_NICE",
    }.get(number, "")


def mask_of(numbers: list[int]) -> bytes:
    """The bit mask in whole longs, as the kernel reads it."""
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits.to_bytes((bits.bit_length() + 63) // 64 * 8, "little")


def _mask(numbers: list[int]) -> tuple[int, bytearray]:
    """(size in bytes, bit mask)."""
    mask = mask_of(numbers)
    return len(mask), bytearray(mask)


def _join(numbers: list[int]) -> str:
    return ",".join(map(str, numbers))

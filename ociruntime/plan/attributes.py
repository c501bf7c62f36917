"""Plan: attributes of the container's process: scheduling, CPUs, memory policy, execution domain,
security label.

The modules of these steps are imported for the configs that need them.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import PlanError
from ociruntime.spec.tables import (
    IOPRIO_CLASS_SHIFT,
    IOPRIO_CLASSES,
    MEMORY_POLICY_FLAGS,
    MEMORY_POLICY_MODES,
    PERSONALITY_DOMAINS,
    SCHEDULER_FLAGS,
    SCHEDULER_POLICIES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.step import Step
    from ociruntime.spec.documents import LinuxConfig, ProcessConfig
    from ociruntime.state.stored import StoredLabels
    from ociruntime.steps.attributes import ProcessSetting


# Of process: the label that its LSM confines it by.
LABELS = ("apparmorProfile", "selinuxLabel")
# No kernel has more CPUs or NUMA nodes (CONFIG_NR_CPUS): a mask for a larger number is refused
# before it is made.
NUMBER_MAX = 8191


def for_every_process(linux: LinuxConfig) -> LinuxConfig:
    """The part of ``linux`` that the state must keep for ``exec``."""
    found: LinuxConfig = {}
    if policy := linux.get("memoryPolicy"):
        found["memoryPolicy"] = policy
    if personality := linux.get("personality"):
        found["personality"] = personality
    return found


def labels(process: ProcessConfig) -> StoredLabels:
    """The security label of ``process``, for whatever is executed later without one of its own."""
    found: StoredLabels = {}
    if profile := process.get("apparmorProfile"):
        found["apparmorProfile"] = profile
    if label := process.get("selinuxLabel"):
        found["selinuxLabel"] = label
    return found


def is_pinned(process: ProcessConfig) -> bool:
    """Whether ``exec`` binds the process to CPUs by itself."""
    affinity = process.get("execCPUAffinity") or {}
    return bool(affinity.get("initial") or affinity.get("final"))


def scheduling_steps(process: ProcessConfig, *, pinned: bool = False) -> list[Step]:
    """Host side, once the process exists: process.scheduler and process.ioPriority.

    Parameters: ``pinned`` says that its CPUs are those that it shall have.
    """
    steps: list[Step] = []
    scheduler, priority = process.get("scheduler"), process.get("ioPriority")
    if scheduler:
        from ociruntime.steps.attributes import SetScheduler

        flags = 0
        for name in scheduler.get("flags") or ():
            flags |= SCHEDULER_FLAGS[name]
        runtime, deadline = scheduler.get("runtime") or 0, scheduler.get("deadline") or 0
        period = scheduler.get("period") or 0
        steps.append(
            SetScheduler(
                scheduler["policy"],
                SCHEDULER_POLICIES[scheduler["policy"]],
                flags,
                scheduler.get("nice") or 0,
                scheduler.get("priority") or 0,
                (runtime, deadline, period),
                pinned=pinned,
            )
        )
    if priority:
        from ociruntime.steps.attributes import SetIoPriority

        level = priority.get("priority") or 0
        value = IOPRIO_CLASSES[priority["class"]] << IOPRIO_CLASS_SHIFT | level
        steps.append(SetIoPriority(f"{priority['class']} {level}", value))
    return steps


def execution_steps(linux: LinuxConfig) -> list[ProcessSetting]:
    """Container side, the last thing before oci-init: linux.personality and linux.memoryPolicy.

    Parameters: ``linux`` is the config's, or what ``for_every_process`` kept of it.
    """
    steps: list[ProcessSetting] = []
    personality, policy = linux.get("personality"), linux.get("memoryPolicy")
    if personality:
        from ociruntime.steps.attributes import SetPersonality

        domain = personality["domain"]
        steps.append(SetPersonality(domain, PERSONALITY_DOMAINS[domain]))
    if policy:
        from ociruntime.steps.attributes import SetMemoryPolicy

        mode = MEMORY_POLICY_MODES[policy["mode"]]
        for name in policy.get("flags") or ():
            mode |= MEMORY_POLICY_FLAGS[name]
        nodes = number_list(policy.get("nodes") or "", "/linux/memoryPolicy/nodes")
        steps.append(SetMemoryPolicy(policy["mode"], mode, nodes))
    return steps


def affinity(process: ProcessConfig) -> tuple[bytes, list[Step]]:
    """process.execCPUAffinity, which is for ``exec`` only: the mask of the CPUs that the process is
    made on, before it is in the container's cgroup, and what binds it once it is there.
    """
    wanted = process.get("execCPUAffinity") or {}
    pointer = "/process/execCPUAffinity"
    initial = number_list(wanted.get("initial") or "", f"{pointer}/initial")
    final = number_list(wanted.get("final") or "", f"{pointer}/final")
    if not initial and not final:
        return b"", []
    from ociruntime.steps.attributes import PinProcess, mask_of

    return mask_of(initial), [PinProcess(final)] if final else []


def number_list(text: str, pointer: str) -> list[int]:
    """The numbers of a list such as ``0-3, 7``, each once, rising. Raises ``PlanError``."""
    numbers: set[int] = set()
    for part in text.split(","):
        low, hyphen, high = (piece.strip() for piece in part.partition("-"))
        if not low:
            continue
        first, last = int(low), int(high) if hyphen else int(low)
        if last > NUMBER_MAX:
            raise PlanError(
                f"{pointer[1:].replace('/', '.')}: there is no number {last}",
                pointer,
                f"use numbers up to {NUMBER_MAX}",
            )
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def label_checks(process: ProcessConfig, linux: LinuxConfig) -> list[Step]:
    """Host side, first of all: whether this host has the LSM that the config speaks of."""
    profile, context = process.get("apparmorProfile"), process.get("selinuxLabel")
    mounts = linux.get("mountLabel")
    if not (profile or context or mounts):
        return []
    from ociruntime.steps.lsm import CheckAppArmor, CheckSelinux

    steps: list[Step] = []
    if profile:
        steps.append(CheckAppArmor(profile))
    if context:
        steps.append(CheckSelinux("/process/selinuxLabel", context))
    if mounts:
        steps.append(CheckSelinux("/linux/mountLabel", mounts))
    return steps


def label_steps(process: ProcessConfig) -> list[Step]:
    """Container side, where paths can still be trusted: what the label is written through."""
    names = [name for name in LABELS if process.get(name)]
    if not names:
        return []
    from ociruntime.steps.lsm import OpenProc

    return [OpenProc(f"/process/{names[0]}")]


def label_of(process: ProcessConfig) -> tuple[bytes, bytes] | None:
    """The label of ``process`` as (attribute file, text), None without one.

    Raises ``PlanError`` for two labels: no kernel enforces both AppArmor and SELinux.
    """
    profile, context = process.get("apparmorProfile"), process.get("selinuxLabel")
    if profile and context:
        raise PlanError(
            "process.apparmorProfile and process.selinuxLabel: no host has both",
            "/process/apparmorProfile",
            "keep the one of this host's security module",
        )
    if profile:
        return b"apparmor/exec", b"exec " + os.fsencode(profile)
    if context:
        return b"exec", os.fsencode(str(context))
    return None

"""The MUSTs of the specification that relate several values, which no schema can say (hot path).

``check`` looks at nothing but the document: what depends on this host is the planner's business.
It expects a document that passes the schema.
"""

from __future__ import annotations

from ociruntime.spec.fault import Facts, Fault
from ociruntime.spec.semantic import general, linux, mounts, namespaces, process, resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.spec.documents import Config, ProcessConfig, ResourcesConfig

    Rule = Callable[[Facts], list[Fault]]

# Each looks at one subject and is independent of the others. These are of a process alone, too, for
# `exec --process FILE`.
PROCESS_RULES: tuple[Rule, ...] = (
    process.zeros,
    process.capabilities,
    process.rlimits,
    process.console,
    process.scheduler,
    process.environment,
    process.affinity,
)
RULES: tuple[Rule, ...] = (
    general.version,
    general.platforms,
    general.hooks,
    process.user,
    *PROCESS_RULES,
    mounts.mounts,
    namespaces.namespaces,
    namespaces.mappings,
    namespaces.host_names,
    namespaces.time_offsets,
    namespaces.sysctl,
    namespaces.mount_namespace,
    linux.devices,
    linux.net_devices,
    linux.seccomp,
    linux.intel_rdt,
    linux.memory_policy,
    resources.cgroups_path,
    resources.resources,
)


def check(document: Config) -> list[Fault]:
    """All errors and warnings of a whole config.json, in the order of RULES."""
    return run(RULES, document)


def check_process(process_document: ProcessConfig) -> list[Fault]:
    """The same for the ``process`` object alone; pointers begin there."""
    faults = run(PROCESS_RULES, {"process": process_document})
    for fault in faults:
        fault.pointer = fault.pointer.removeprefix("/process")
    return faults


def check_limits(limits: ResourcesConfig) -> list[Fault]:
    """The rules for the values of ``linux.resources`` alone, for `update`; pointers begin there.

    Rules that relate several limits are left to the kernel: the other limit may be set already.
    """
    faults = resources.check_values(limits)
    for fault in faults:
        fault.pointer = fault.pointer.removeprefix("/linux/resources")
    return faults


def run(rules: tuple[Rule, ...], document: Config) -> list[Fault]:
    """Apply ``rules``."""
    facts = Facts(document)
    faults: list[Fault] = []
    for rule in rules:
        faults += rule(facts)
    return faults

"""Rules of config.md about ``process`` (hot path)."""

from __future__ import annotations

from ociruntime.spec.fault import WARNING, Fault, is_mapped, is_number_list
from ociruntime.spec.tables import CAPABILITIES, CAPABILITY_SETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ociruntime.spec.documents import IDMappingConfig
    from ociruntime.spec.fault import Facts

_LINUX = "config.md#linux-process"
_POSIX = "config.md#posix-process"
_CONSOLE_MAX = 65535
_DEADLINE_MIN = 1024
_ZEROS = (
    ("user", ("uid", "gid"), "posix-platform-user"),
    ("ioPriority", ("priority",), "linux-process"),
)
_REAL_TIME = ("SCHED_FIFO", "SCHED_RR")


def user(facts: Facts) -> list[Fault]:
    """In a new user namespace every id of the process must be mapped, or setresuid(2) fails."""
    faults: list[Fault] = []
    if not facts.new_user_namespace or "process" not in facts.document:
        return faults
    ids = facts.process.get("user", {})
    place = "/process/user"
    _mapped(faults, f"{place}/uid", ids.get("uid", 0), facts.uid_mappings, "uidMappings")
    _mapped(faults, f"{place}/gid", ids.get("gid", 0), facts.gid_mappings, "gidMappings")
    for index, gid in enumerate(ids.get("additionalGids", ())):
        pointer = f"{place}/additionalGids/{index}"
        _mapped(faults, pointer, gid, facts.gid_mappings, "gidMappings")
    return faults


def _mapped(
    faults: list[Fault], pointer: str, number: int, mappings: list[IDMappingConfig], name: str
) -> None:
    if not is_mapped(mappings, number):
        faults.append(
            Fault(
                pointer,
                number,
                f"id {number} is not in linux.{name}",
                "config-linux.md#user-namespace-mappings: ids of the container are what is mapped",
                f"add a range covering {number}, or use a mapped id",
            )
        )


def zeros(facts: Facts) -> list[Fault]:
    """Numbers that config.md calls REQUIRED, and that every runtime takes for 0 where they are
    missing: said, and done, too.
    """
    process: Mapping[str, Any] = facts.process
    return [
        Fault(
            f"/process/{part}/{name}",
            None,
            f"{part} has no {name}: 0 is taken",
            f"config.md#{section}: {name} is REQUIRED",
            f'add "{name}": 0',
            WARNING,
        )
        for part, names, section in _ZEROS
        if part in process
        for name in names
        if name not in process[part]
    ]


def capabilities(facts: Facts) -> list[Fault]:
    """What cannot be granted is a warning, never an error (a MUST since 1.0.2)."""
    faults: list[Fault] = []
    sets = facts.process.get("capabilities", {})
    by_name: Mapping[str, Any] = sets
    for name in CAPABILITY_SETS:
        for index, capability in enumerate(by_name.get(name, ())):
            if capability not in CAPABILITIES:
                faults.append(
                    _capability(f"{name}/{index}", capability, "is not known and is not granted")
                )
    permitted = sets.get("permitted", ())
    inheritable = sets.get("inheritable", ())
    for index, capability in enumerate(sets.get("effective", ())):
        if capability not in permitted:
            text = "is not in permitted and cannot be effective"
            faults.append(_capability(f"effective/{index}", capability, text))
    both = set(permitted) & set(inheritable)
    idle = [capability for capability in sets.get("ambient", ()) if capability not in both]
    if idle:
        # One line for all: `runc spec` writes configs in which no ambient capability can work.
        text = "cannot be ambient without being both permitted and inheritable"
        faults.append(_capability("ambient", ", ".join(idle), text))
    return faults


def _capability(place: str, name: str, text: str) -> Fault:
    cure = "add it to the sets it needs"
    if name not in CAPABILITIES:
        from ociruntime.similar import nearest  # never on the hot path of a right document

        meant = "" if ", " in name else nearest(name, CAPABILITIES)
        cure = f'did you mean "{meant}"?' if meant else "see capabilities(7)"
    return Fault(
        f"/process/capabilities/{place}",
        name,
        f"{name} {text}",
        f"{_LINUX}: a capability that cannot be granted MUST be logged as a warning",
        cure,
        WARNING,
    )


def rlimits(facts: Facts) -> list[Fault]:
    """No type twice, no soft limit above the hard one."""
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for index, limit in enumerate(facts.process.get("rlimits", ())):
        place = f"/process/rlimits/{index}"
        kind = limit["type"]
        if first.setdefault(kind, index) != index:
            faults.append(
                Fault(
                    f"{place}/type",
                    kind,
                    f"{kind} is already given in rlimits[{first[kind]}]",
                    f"{_POSIX}: duplicated entries with the same type MUST be an error",
                    "keep one of them",
                )
            )
        if limit["soft"] > limit["hard"]:
            faults.append(
                Fault(
                    f"{place}/soft",
                    limit["soft"],
                    f"the soft limit of {kind} is above the hard limit {limit['hard']}",
                    f"{_POSIX}: soft and hard are those of setrlimit(2), which refuses this",
                    "lower soft or raise hard",
                )
            )
    return faults


def console(facts: Facts) -> list[Fault]:
    """With a terminal, its size must fit the kernel's struct winsize; without one it is ignored."""
    if not facts.process.get("terminal"):
        return []
    sizes: Mapping[str, Any] = facts.process.get("consoleSize", {})
    return [
        Fault(
            f"/process/consoleSize/{name}",
            size,
            f"{name} {size} does not fit a terminal",
            "config.md#process: consoleSize is the size of the console in characters",
            f"use at most {_CONSOLE_MAX}",
        )
        for name, size in sizes.items()
        if name in ("height", "width") and size > _CONSOLE_MAX
    ]


def scheduler(facts: Facts) -> list[Fault]:
    """The combinations that sched_setattr(2) takes."""
    settings = facts.process.get("scheduler")
    if settings is None:
        return []
    faults: list[Fault] = []
    policy = settings["policy"]
    priority = settings.get("priority", 0)

    def fault(name: str, message: str, cure: str) -> None:
        pointer = f"/process/scheduler/{name}"
        rule = f"{_LINUX}: scheduler holds the attributes of sched_setattr(2)"
        faults.append(Fault(pointer, settings.get(name), message, rule, cure))

    if policy == "SCHED_ISO":
        fault("policy", "SCHED_ISO is reserved and no kernel has it", "use SCHED_OTHER")
    if policy in _REAL_TIME and priority == 0:
        fault("priority", f"{policy} needs a priority", "use a number from 1 to 99")
    if policy not in _REAL_TIME and priority != 0:
        fault("priority", f"{policy} has no priority", "remove it, or use SCHED_FIFO or SCHED_RR")
    runtime, deadline, period = (
        settings.get("runtime", 0),
        settings.get("deadline", 0),
        settings.get("period", 0),
    )
    if policy != "SCHED_DEADLINE":
        for name, time in (("runtime", runtime), ("deadline", deadline), ("period", period)):
            if time:
                fault(name, f"{policy} has no {name}", "remove it, or use SCHED_DEADLINE")
        return faults
    if runtime < _DEADLINE_MIN:
        fault("runtime", "SCHED_DEADLINE needs at least 1024 ns of runtime", "raise runtime")
    if deadline < runtime:
        fault("deadline", f"the deadline is before the end of the runtime {runtime}", "raise it")
    if period and period < deadline:
        fault("period", f"the period is shorter than the deadline {deadline}", "raise it")
    return faults


def environment(facts: Facts) -> list[Fault]:
    """An entry without a name is passed on, but no program will find it."""
    return [
        Fault(
            f"/process/env/{index}",
            entry,
            "the entry is not of the form NAME=value",
            "config.md#process: env has the same semantics as environ (IEEE Std 1003.1-2008)",
            'write it as "NAME=value"',
            WARNING,
        )
        for index, entry in enumerate(facts.process.get("env", ()))
        if entry.find("=") < 1
    ]


def affinity(facts: Facts) -> list[Fault]:
    """The lists of CPUs for exec."""
    lists: Mapping[str, Any] = facts.process.get("execCPUAffinity", {})
    return [
        Fault(
            f"/process/execCPUAffinity/{name}",
            text,
            f'"{text}" is not a list of CPUs',
            f"{_LINUX}: execCPUAffinity.{name} is a comma-separated list, with dashes for ranges",
            'write it as "0-3,7"',
        )
        for name, text in lists.items()
        if name in ("initial", "final") and text and not is_number_list(text)
    ]

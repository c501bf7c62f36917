"""Rules about devices, interfaces, seccomp, resctrl and memory policy (hot path)."""

from __future__ import annotations

from ociruntime.jsontext import token
from ociruntime.spec.fault import Fault, is_number_list
from ociruntime.spec.tables import SECCOMP_ACTIONS_WITH_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.spec.fault import Facts

_DEVICES = "config-linux.md#devices"
_NET_DEVICES = "config-linux.md#network-devices"
_SECCOMP = "config-linux.md#seccomp"
_RDT = "config-linux.md#intel-rdt"
_POLICY = "config-linux.md#memory-policy"
# An annotation of crun's that podman users know: the socket for notifications.
_RECEIVER = "run.oci.seccomp.receiver"


def devices(facts: Facts) -> list[Fault]:
    """Numbers for everything but FIFOs, and a path that ends with a name."""
    faults: list[Fault] = []
    for index, device in enumerate(facts.linux.get("devices", ())):
        place = f"/linux/devices/{index}"
        # As peers do: a slash at the end says nothing.
        if device["path"].rstrip("/").rpartition("/")[2] in ("", ".", ".."):
            faults.append(
                Fault(
                    f"{place}/path",
                    device["path"],
                    "the path of a device must end with a name",
                    f"{_DEVICES}: path is the full path to the device inside the container",
                    'write it as "/dev/name"',
                )
            )
        if device["type"] == "p":
            continue
        faults += [
            Fault(
                f"{place}/{name}",
                None,
                f"the device {device['path']} has no {name} number",
                f"{_DEVICES}: major and minor are REQUIRED unless type is p",
                f"add {name}",
            )
            for name in ("major", "minor")
            if name not in device
        ]
    return faults


def net_devices(facts: Facts) -> list[Fault]:
    """Interfaces move into a network namespace, each to a name of its own."""
    wanted = facts.linux.get("netDevices")
    if not wanted:
        return []
    faults: list[Fault] = []
    if "network" not in facts.namespaces:
        faults.append(
            Fault(
                "/linux/netDevices",
                list(wanted),
                "netDevices without a network namespace",
                f"{_NET_DEVICES}: the interfaces move into the container's network namespace",
                'add {"type": "network"} to linux.namespaces, or remove netDevices',
            )
        )
    targets: dict[str, str] = {}
    for host_name, settings in wanted.items():
        place = f"/linux/netDevices/{token(host_name)}"
        name = settings.get("name", host_name)
        for pointer, text in ((place, host_name), (f"{place}/name", name)):
            if text in (".", ".."):
                faults.append(
                    Fault(
                        pointer,
                        text,
                        f'"{text}" is not a name for an interface',
                        f"{_NET_DEVICES}: names are those of network interfaces",
                        "use a plain name",
                    )
                )
        if "%" not in name and targets.setdefault(name, host_name) != host_name:
            faults.append(
                Fault(
                    f"{place}/name",
                    settings.get("name"),
                    f"{host_name} and {targets[name]} would both be named {name}",
                    f"{_NET_DEVICES}: the name in the container MUST NOT be taken",
                    "give one of them another name",
                )
            )
    return faults


def seccomp(facts: Facts) -> list[Fault]:
    """An errnoRet only where an action takes a value; a listener for notifications."""
    profile = facts.linux.get("seccomp")
    if profile is None:
        return []
    faults: list[Fault] = []
    default = profile["defaultAction"]
    if "defaultErrnoRet" in profile:
        _value(faults, "/linux/seccomp/defaultErrnoRet", profile["defaultErrnoRet"], default)
    notify = ""
    for index, rule in enumerate(profile.get("syscalls", ())):
        action = rule["action"]
        if "errnoRet" in rule:
            _value(faults, f"/linux/seccomp/syscalls/{index}/errnoRet", rule["errnoRet"], action)
        if action == "SCMP_ACT_NOTIFY" and not notify:
            notify = f"/linux/seccomp/syscalls/{index}/action"
    if default == "SCMP_ACT_NOTIFY":
        faults.append(
            Fault(
                "/linux/seccomp/defaultAction",
                default,
                "every system call would wait for the agent, the one that connects to it included",
                f"{_SECCOMP}: SCMP_ACT_NOTIFY is for chosen system calls",
                "use SCMP_ACT_NOTIFY in syscalls only",
            )
        )
    if notify and not profile.get("listenerPath") and not _has_receiver(facts):
        faults.append(
            Fault(
                notify,
                "SCMP_ACT_NOTIFY",
                "SCMP_ACT_NOTIFY without listenerPath: nobody would answer",
                f"{_SECCOMP}: listenerPath is the socket that gets the notification descriptor",
                "add listenerPath",
            )
        )
    if profile.get("listenerMetadata") and not profile.get("listenerPath"):
        faults.append(
            Fault(
                "/linux/seccomp/listenerMetadata",
                profile["listenerMetadata"],
                "listenerMetadata without listenerPath",
                f"{_SECCOMP}: listenerMetadata MUST NOT be set if listenerPath is not set",
                "add listenerPath, or remove listenerMetadata",
            )
        )
    return faults


def _has_receiver(facts: Facts) -> bool:
    return _RECEIVER in facts.document.get("annotations", {})


def _value(faults: list[Fault], pointer: str, value: int, action: str) -> None:
    if action not in SECCOMP_ACTIONS_WITH_VALUE:
        faults.append(
            Fault(
                pointer,
                value,
                f"{action} takes no errno",
                f"{_SECCOMP}: errnoRet with an action that does not support it MUST be an error",
                "remove it, or use SCMP_ACT_ERRNO",
            )
        )


def intel_rdt(facts: Facts) -> list[Fault]:
    """A closID is a directory of resctrl, not a way out of it."""
    name = facts.linux.get("intelRdt", {}).get("closID")
    if name not in (".", ".."):
        return []
    return [
        Fault(
            "/linux/intelRdt/closID",
            name,
            f'"{name}" is not the name of a class',
            f"{_RDT}: closID is the name of a directory below the resctrl mount, or /",
            "use a plain name",
        )
    ]


def memory_policy(facts: Facts) -> list[Fault]:
    """The combinations that set_mempolicy(2) takes."""
    policy = facts.linux.get("memoryPolicy")
    if policy is None:
        return []
    faults: list[Fault] = []
    mode, nodes, flags = policy["mode"], policy.get("nodes", "").strip(), policy.get("flags", [])

    def fault(name: str, message: str, cure: str) -> None:
        pointer = f"/linux/memoryPolicy/{name}"
        rule = f"{_POLICY}: mode, nodes and flags are those of set_mempolicy(2)"
        faults.append(Fault(pointer, policy.get(name), message, rule, cure))

    if mode in ("MPOL_DEFAULT", "MPOL_LOCAL"):
        if nodes:
            fault("nodes", f"{mode} takes no nodes", "remove nodes, or use MPOL_BIND")
        if flags:
            fault("flags", f"{mode} takes no flags", "remove flags")
    elif not nodes and mode != "MPOL_PREFERRED":
        fault("nodes", f"{mode} needs nodes", 'name them, for example "0-1"')
    if nodes and not is_number_list(nodes):
        fault("nodes", f'"{nodes}" is not a list of nodes', 'write it as "0-3,7"')
    if "MPOL_F_STATIC_NODES" in flags and "MPOL_F_RELATIVE_NODES" in flags:
        fault("flags", "nodes cannot be both static and relative", "keep one of the two flags")
    if "MPOL_F_NUMA_BALANCING" in flags and mode not in ("MPOL_BIND", "MPOL_PREFERRED_MANY"):
        fault("flags", f"{mode} takes no MPOL_F_NUMA_BALANCING", "remove it, or use MPOL_BIND")
    return faults

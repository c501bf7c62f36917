"""Rules about namespaces and about what needs one (hot path)."""

from __future__ import annotations

from ociruntime.jsontext import token
from ociruntime.spec.fault import Fault
from ociruntime.spec.sysctl import sysctl_namespace, sysctl_path
from ociruntime.spec.tables import ID_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.spec.documents import IDMappingConfig
    from ociruntime.spec.fault import Facts

_NAMESPACES = "config-linux.md#namespaces"
_MAPPINGS = "config-linux.md#user-namespace-mappings"
_SYSCTL = "config-linux.md#sysctl"
_MAPPINGS_MAX = 340  # user_namespaces(7): lines of /proc/PID/uid_map
_NAME_BYTES = 64  # sethostname(2): HOST_NAME_MAX of Linux


def namespaces(facts: Facts) -> list[Fault]:
    """No type twice."""
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for index, entry in enumerate(facts.linux.get("namespaces", ())):
        kind = entry["type"]
        if first.setdefault(kind, index) != index:
            faults.append(
                Fault(
                    f"/linux/namespaces/{index}/type",
                    kind,
                    f"the {kind} namespace is already given in namespaces[{first[kind]}]",
                    f"{_NAMESPACES}: duplicated namespaces with the same type MUST be an error",
                    "keep one of them",
                )
            )
    return faults


def mappings(facts: Facts) -> list[Fault]:
    """Mappings belong to a user namespace, come in pairs and do not overlap."""
    faults: list[Fault] = []
    both = {"uidMappings": facts.uid_mappings, "gidMappings": facts.gid_mappings}
    given = [name for name, entries in both.items() if entries]
    if given and "user" not in facts.namespaces:
        faults.append(
            Fault(
                f"/linux/{given[0]}",
                both[given[0]],
                f"{' and '.join(given)} without a user namespace",
                f"{_MAPPINGS}: the mappings describe the container's user namespace",
                'add {"type": "user"} to linux.namespaces, or remove the mappings',
            )
        )
    if facts.new_user_namespace:
        faults += [
            Fault(
                f"/linux/{name}",
                facts.linux.get(name),
                f"a new user namespace without {name} has no usable id",
                f"{_MAPPINGS}: uidMappings and gidMappings describe a new user namespace",
                f"add {name}",
            )
            for name in both
            if name not in given
        ]
    for name in given:
        faults += mapping_faults(f"/linux/{name}", both[name])
    return faults


def mapping_faults(pointer: str, entries: list[IDMappingConfig]) -> list[Fault]:
    """What the kernel would refuse to see written into a uid_map (user_namespaces(7))."""
    faults: list[Fault] = []
    if len(entries) > _MAPPINGS_MAX:
        faults.append(
            Fault(
                pointer,
                len(entries),
                f"{len(entries)} mappings are more than the kernel takes",
                f"{_MAPPINGS}: written to /proc/PID/uid_map, see user_namespaces(7)",
                f"use at most {_MAPPINGS_MAX}",
            )
        )
        return faults
    for side in ("containerID", "hostID"):
        ranges = sorted((entry[side], index) for index, entry in enumerate(entries))
        end, before = -1, -1
        for start, index in ranges:
            place = f"{pointer}/{index}"
            size = entries[index]["size"]
            if start + size - 1 > ID_MAX:
                faults.append(
                    Fault(
                        f"{place}/size",
                        size,
                        f"the range of {size} ids from {side} {start} leaves the 32 bit ids",
                        f"{_MAPPINGS}: ids are unsigned 32 bit numbers up to {ID_MAX}",
                        f"use a size of at most {ID_MAX - start + 1}",
                    )
                )
            if start <= end:
                faults.append(
                    Fault(
                        f"{place}/{side}",
                        start,
                        f"the range from {side} {start} overlaps that of entry {before}",
                        f"{_MAPPINGS}: the kernel takes no id twice, see user_namespaces(7)",
                        "make the ranges disjoint",
                    )
                )
            if start + size - 1 > end:
                end, before = start + size - 1, index
    return faults


def host_names(facts: Facts) -> list[Fault]:
    """Both names need a UTS namespace other than the host's."""
    faults: list[Fault] = []
    document = facts.document
    for name, text in (
        ("hostname", document.get("hostname", "")),
        ("domainname", document.get("domainname", "")),
    ):
        if text and "uts" not in facts.namespaces:
            faults.append(_needs(f"/{name}", text, name, "uts", f"config.md#{name}"))
        if len(text.encode()) > _NAME_BYTES:
            faults.append(
                Fault(
                    f"/{name}",
                    text,
                    f"{name} is longer than {_NAME_BYTES} bytes",
                    f"config.md#{name}: the name is set with set{name}(2)",
                    "use a shorter name",
                )
            )
    return faults


def time_offsets(facts: Facts) -> list[Fault]:
    """The offsets can be written for a new time namespace only."""
    offsets = facts.linux.get("timeOffsets")
    if not offsets or facts.namespaces.get("time") == "":
        return []
    return [
        Fault(
            "/linux/timeOffsets",
            offsets,
            "timeOffsets without a new time namespace",
            "config-linux.md#offset-for-time-namespace: offsets are those of a new time namespace",
            'add {"type": "time"} without a path to linux.namespaces, or remove the offsets',
        )
    ]


def sysctl(facts: Facts) -> list[Fault]:
    """A parameter must belong to a namespace of the container; else the host would be changed."""
    faults: list[Fault] = []
    seen: dict[str, str] = {}
    for name, value in facts.linux.get("sysctl", {}).items():
        pointer = f"/linux/sysctl/{token(name)}"
        path = sysctl_path(name)
        namespace = sysctl_namespace(path)

        def fault(message: str, rule: str, cure: str) -> None:
            # Called before the next turn of the loop, so the names are this turn's.
            faults.append(Fault(pointer, value, message, f"{_SYSCTL}: {rule}", cure))  # noqa: B023

        if not all(part not in ("", ".", "..") for part in path.split("/")):
            fault(f'"{name}" is not a name of a parameter', "keys name parameters", "see sysctl(8)")
        elif path == "kernel/hostname":
            fault("the host name is not set by sysctl", "use the property for it", "use hostname")
        elif not namespace:
            rule = "only parameters of a namespace of the container can be set"
            fault(f"{name} belongs to no namespace and would change the host", rule, "remove it")
        elif namespace not in facts.namespaces:
            faults.append(_needs(pointer, value, name, namespace, _SYSCTL))
        # A line may have its end: what was read from /proc/sys with cat(1) or Go's ReadFile has it.
        if not value.removesuffix("\n").replace("\t", " ").isprintable():
            rule = "a value is one line written to one file (CVE-2022-0811)"
            fault(f"the value of {name} has a control character", rule, "remove it")
        if seen.setdefault(path, name) != name:
            fault(f"{name} is already given as {seen[path]}", "a map has one value", "keep one")
    return faults


def mount_namespace(facts: Facts) -> list[Fault]:
    """Without a mount namespace the container's mounts would be the host's."""
    if "mount" in facts.namespaces:
        return []
    readonly = facts.document["root"].get("readonly")
    wishes: list[tuple[str, Any, str, str]] = [
        ("/mounts", facts.document.get("mounts"), "mounts", "config.md#mounts"),
        ("/root/readonly", readonly, "root.readonly", "config.md#root"),
    ]
    for name, section in (
        ("maskedPaths", "masked-paths"),
        ("readonlyPaths", "readonly-paths"),
        ("rootfsPropagation", "rootfs-mount-propagation"),
    ):
        wish = (f"/linux/{name}", facts.linux.get(name), name, f"config-linux.md#{section}")
        wishes.append(wish)
    return [
        _needs(pointer, value, what, "mount", rule)
        for pointer, value, what, rule in wishes
        if value
    ]


def _needs(pointer: str, value: Any, what: str, namespace: str, rule: str) -> Fault:
    return Fault(
        pointer,
        value,
        f"{what} needs {'an' if namespace == 'ipc' else 'a'} {namespace} namespace, else the host "
        "would be changed",
        f"{rule}: it applies to the container's {namespace} namespace",
        f'add {{"type": "{namespace}"}} to linux.namespaces, or remove it',
    )

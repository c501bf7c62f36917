"""Rules about ``mounts`` (hot path)."""

from __future__ import annotations

from ociruntime.spec.fault import WARNING, Fault, is_decimal, is_mapped
from ociruntime.spec.mount_options import IDMAP_PREFIXES, parse
from ociruntime.spec.semantic.namespaces import mapping_faults

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import IDMappingConfig, MountConfig
    from ociruntime.spec.fault import Facts

_MOUNTS = "config.md#mounts"
_POSIX = "config.md#posix-platform-mounts"
_IDMAPS = ("idmap", "ridmap")

# What may be covered inside /proc: files that only inform (lxcfs replaces them).  Anything else
# could put a file of the container's in the way of our own writes (CVE-2025-52881).
PROC_TARGETS = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
)


def mounts(facts: Facts) -> list[Fault]:
    """Each mount for itself: destination, what to mount, mappings, owner options."""
    faults: list[Fault] = []
    for index, mount in enumerate(facts.document.get("mounts", ())):
        place = f"/mounts/{index}"
        options = mount.get("options", [])
        _destination(faults, place, mount["destination"])
        _what(faults, place, mount, options)
        _mappings(faults, place, mount, options, facts)
        for number, option in enumerate(options):
            if option.startswith(IDMAP_PREFIXES):
                _idmap_option(faults, f"{place}/options/{number}", mount, option, facts)
        if facts.new_user_namespace:
            _owner(faults, place, mount, options, facts)
    return faults


def normal(path: str) -> str:
    """``path`` from the root, without empty parts, "." and "..", as text (no link is followed)."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def _destination(faults: list[Fault], place: str, destination: str) -> None:
    pointer = f"{place}/destination"
    target = normal(destination)
    if destination[0] != "/":
        faults.append(
            Fault(
                pointer,
                destination,
                'a relative destination is taken as relative to "/"',
                f"{_MOUNTS}: relative destinations are deprecated",
                f'write "{target}"',
                WARNING,
            )
        )
    if target == "/":
        faults.append(
            Fault(
                pointer,
                destination,
                "a mount on / would hide the root filesystem",
                f"{_MOUNTS}: destination is a path inside the container",
                "use root.path for the root filesystem",
            )
        )
    elif target.startswith("/proc/") and target not in PROC_TARGETS:
        faults.append(
            Fault(
                pointer,
                destination,
                f"{target} is inside /proc, where a mount could mislead the runtime",
                f"{_MOUNTS}: only informative files of /proc may be covered (CVE-2025-52881)",
                "choose a destination outside /proc; to hide a path use linux.maskedPaths",
            )
        )


def _what(faults: list[Fault], place: str, mount: MountConfig, options: list[str]) -> None:
    kind = mount.get("type", "")
    is_bind = kind in ("bind", "rbind") or "bind" in options or "rbind" in options
    if is_bind and not mount.get("source") and not parse(options).remount:
        faults.append(
            Fault(
                f"{place}/source",
                mount.get("source"),
                f"the bind mount {mount['destination']} has no source",
                f"{_MOUNTS}: for bind mounts source is the path to bind",
                "name the file or directory to bind",
            )
        )
    if not is_bind and kind in ("", "none") and not _names_an_action(options):
        faults.append(
            Fault(
                f"{place}/type",
                mount.get("type"),
                f"the mount {mount['destination']} has neither a type nor the option bind",
                f"{_POSIX}: type is the filesystem type; for bind mounts options has bind or rbind",
                'add a type such as "tmpfs", or the option "rbind"',
            )
        )


def _names_an_action(options: list[str]) -> bool:
    """Whether bind or remount is among the options, also where one entry holds several."""
    meant = parse(options)
    return meant.bind or meant.remount


def _idmap_option(
    faults: list[Fault], pointer: str, mount: MountConfig, option: str, facts: Facts
) -> None:
    # Imported for the configs that need it.
    from ociruntime.spec.idmap_option import SYNTAX, mappings_of

    own = facts.new_user_namespace
    uid_maps, gid_maps = (
        [(entry["containerID"], entry["hostID"], entry["size"]) for entry in entries if own]
        for entries in (facts.uid_mappings, facts.gid_mappings)
    )
    rule = f"{_POSIX}: mappings are given in uidMappings and gidMappings, or as crun does"
    if mount.get("uidMappings") or mount.get("gidMappings"):
        message = "mappings are given in the option and in the mount's properties"
        faults.append(Fault(pointer, option, message, rule, "keep one of them"))
    try:
        uids, gids = mappings_of(option, uid_maps, gid_maps)
    except ValueError as error:
        faults.append(Fault(pointer, option, str(error), rule, f"write {SYNTAX}"))
        return
    for maps in (uids, gids):
        entries: list[IDMappingConfig] = [
            {"containerID": a, "hostID": b, "size": size} for a, b, size in maps
        ]
        faults += [
            Fault(pointer, option, found.message, found.rule, found.cure)
            for found in mapping_faults(pointer, entries)
        ]


def _mappings(
    faults: list[Fault], place: str, mount: MountConfig, options: list[str], facts: Facts
) -> None:
    both = {"uidMappings": mount.get("uidMappings"), "gidMappings": mount.get("gidMappings")}
    given = {name: entries for name, entries in both.items() if entries}
    if len(given) == 1:
        (present,) = given
        missing = "gidMappings" if present == "uidMappings" else "uidMappings"
        faults.append(
            Fault(
                f"{place}/{missing}",
                both[missing],
                f"the mount {mount['destination']} has {present} but no {missing}",
                f"{_POSIX}: uidMappings and gidMappings MUST be given together",
                f"add {missing}",
            )
        )
    for name, entries in given.items():
        faults += mapping_faults(f"{place}/{name}", entries)
    wanted = "idmap" in options or "ridmap" in options
    if wanted and not given and not (facts.uid_mappings and facts.gid_mappings):
        if facts.namespaces.get("user"):
            return  # the mappings are those of the namespace to join
        faults.append(
            Fault(
                f"{place}/options",
                [option for option in options if option in _IDMAPS],
                f"the mount {mount['destination']} is to be idmapped, but there are no mappings",
                f"{_POSIX}: without mappings of its own a mount takes those of the user namespace",
                "add uidMappings and gidMappings to the mount or to linux",
            )
        )


def _owner(
    faults: list[Fault], place: str, mount: MountConfig, options: list[str], facts: Facts
) -> None:
    if mount.get("type") not in ("devpts", "tmpfs"):
        return
    for index, option in enumerate(options):
        name, equals, digits = option.partition("=")
        if name not in ("uid", "gid") or not equals or not is_decimal(digits):
            continue
        mappings = facts.uid_mappings if name == "uid" else facts.gid_mappings
        if not is_mapped(mappings, int(digits)):
            faults.append(
                Fault(
                    f"{place}/options/{index}",
                    option,
                    f"mounts[{place.rpartition('/')[2]}] {mount['destination']} ({mount['type']}): "
                    f"{option} is not in linux.{name}Mappings, the kernel will say EINVAL",
                    "config-linux.md#user-namespace-mappings: only mapped ids can own something",
                    f"add a range covering {digits}, or remove the option",
                )
            )

"""Plan: mounts, devices, masks."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import PlanError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import DEV, components
from ociruntime.plan.handover import spread
from ociruntime.plan.idmap import Idmaps
from ociruntime.process.step import CONTAINER, HOST, Step
from ociruntime.spec.idmaps import host_id
from ociruntime.spec.mount_options import CopyBound, parse
from ociruntime.spec.tables import DEFAULT_DEVICES, DEFAULT_SYMLINKS, DEVICE_TYPES
from ociruntime.steps.devices import CheckDev, Device, MakeDevice, MakeSymlink
from ociruntime.steps.masks import MaskPath, ReadonlyPath
from ociruntime.steps.mounts import BindMount, Mount, OpenSource
from ociruntime.steps.touches import Attributes, Propagation

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.plan.host import Host
    from ociruntime.plan.namespaces import NamespacePlan
    from ociruntime.spec.documents import Config, LinuxConfig, MountConfig
    from ociruntime.spec.mount_options import MountOptions
    from ociruntime.steps.touches import Touch

# The old spelling of a bind mount's type, next to the options bind and rbind.
BIND_TYPES = ("bind", "rbind")
CGROUP_TYPES = ("cgroup", "cgroup2")
COPY_BOUND = 1 << 30  # bytes
MOUNTING = ("mount", "bind-mount", "attach-filesystem", "mount-cgroup")
PTMX = "/dev/ptmx"
# Filesystems of the kernel that SELinux labels by its own policy.
WITHOUT_LABEL = ("proc", "sysfs")
# crun's annotation for the kind of linux.mountLabel; the first is the default.
CONTEXT_TYPE = "run.oci.mount_context_type"
CONTEXT_TYPES = ("context", "fscontext", "defcontext", "rootcontext")


def mount_steps(
    config: Config,
    namespaces: NamespacePlan,
    host: Host,
    bundle: str,
    rootfs: str,
    warnings: list[str],
) -> tuple[list[Step], list[Step], list[Step]]:
    """(steps that open sources beforehand, that mount, that follow when nothing more is made in the
    mounts), in the order of the config; what is left out is told in ``warnings``.
    """
    opens: list[Step] = []
    mounts: list[Step] = []
    late: list[Step] = []
    idmaps = Idmaps(namespaces, host)
    keeps_peers = ((config.get("linux") or {}).get("rootfsPropagation") or "").endswith("shared")
    side = _side_of_sources(namespaces, host)
    for index, entry in enumerate(config.get("mounts") or ()):
        pointer = f"/mounts/{index}"
        kind = entry.get("type") or ""
        options = parse(entry.get("options") or [])
        destination = entry["destination"]
        is_bind = options.bind or kind in BIND_TYPES
        what = "remount" if options.remount else "bind" if is_bind else kind
        label = f"mounts[{index}] {destination} ({what})"
        idmap = idmaps.name_for(pointer, label, entry, options)
        if options.remount:
            mounts.append(_remount(pointer, label, destination, options, mounts, namespaces))
        elif is_bind:
            source = os.path.join(bundle, entry.get("source") or "")
            if kind == "rbind":
                options.bind = options.rbind = True
            _tell_left_out(label, options, "unknown, and left out", warnings)
            propagation = 0 if keeps_peers and options.propagation else c.MS_SLAVE
            within = _within(source, rootfs)
            # In a user namespace init would not be allowed to idmap it.
            at_turn = bool(within) and not (idmap and namespaces.has("user"))
            touches: list[Touch] = [Propagation(propagation), Attributes(options)]
            kind_of_step = _idmapped(touches, label, idmap, options) if idmap else OpenSource
            opened = kind_of_step(
                pointer,
                label,
                source,
                destination,
                options,
                touches,
                CONTAINER if at_turn else side,
                within,
            )
            (mounts if at_turn else opens).append(opened)
            mounts.append(BindMount(pointer, label, source, destination, options))
        elif kind in CGROUP_TYPES:
            mount_label = label_option(config)
            step = _cgroup_mount(pointer, label, entry, options, namespaces, host, mount_label)
            # The hierarchy's, which is the host's.
            _tell_left_out(label, options, "the host's to set, and left out", warnings)
            mounts.append(step)
        else:
            if options.tmpcopyup:
                options.copy_bound = _copy_bound(config, options)
            _check_new(pointer, label, kind, options, namespaces)
            name = entry.get("source") or kind
            on_root = _label(kind, options, config)
            if idmap:
                # Imported for the configs that need it.
                from ociruntime.steps.idmap import AttachFilesystem, OpenFilesystem

                opens.append(OpenFilesystem(pointer, label, kind, name, options, idmap))
                mounts.append(AttachFilesystem(pointer, label, kind, destination, options))
                continue
            made = Mount(pointer, label, kind, name, destination, options)
            made.touches[:0] = on_root
            mounts.append(made)
            if _is_readonly_late(made):
                from ociruntime.steps.readonly import writable_first

                late.append(writable_first(made))
    opens, mounts = spread(opens, mounts)
    return idmaps.steps + opens, mounts, late


def _copy_bound(config: Config, options: MountOptions) -> CopyBound | None:
    """How much tmpcopyup may copy. The copy is made before the container's limits are set, when
    what exceeds them would only be found by killing something; None: the filesystem's size bounds
    it.
    """
    resources = (config.get("linux") or {}).get("resources") or {}
    limits = []
    limit = (resources.get("memory") or {}).get("limit") or 0
    if limit > 0:
        limits.append(CopyBound("linux.resources.memory.limit", limit))
    text = ((resources.get("unified") or {}).get("memory.max") or "").strip()
    if text.isdecimal():
        limits.append(CopyBound("memory.max in linux.resources.unified", int(text)))
    if limits:
        return min(limits, key=lambda bound: bound.size)
    sizes = [option.partition("=") for option in options.data]
    if any(key in ("size", "nr_blocks") and value != "0" for key, _, value in sizes):
        return None
    return CopyBound("the most without size= and without a limit for the memory", COPY_BOUND)


def _remount(
    pointer: str,
    label: str,
    destination: str,
    options: MountOptions,
    mounts: list[Step],
    namespaces: NamespacePlan,
) -> Step:
    # Imported for the configs that need it.
    from ociruntime.steps.remount import Reconfigure, Remount

    made = _mounted_on(destination, mounts)
    kept = getattr(made, "kept", None)
    if kept is not None:
        kept.append(pointer)
    reaches_filesystem = not options.bind and (options.sb_flags or options.data)
    if reaches_filesystem and isinstance(made, Mount) and _is_own(made.filesystem, namespaces):
        return Reconfigure(pointer, label, destination, options)
    if options.data:
        raise PlanError(
            f"{label}: {', '.join(options.data)} would change a filesystem that is not this "
            "container's, and may be mounted elsewhere",
            f"{pointer}/options",
            "leave it out, or give it to the entry that mounts the filesystem",
        )
    return Remount(pointer, label, destination, options)


def _mounted_on(destination: str, mounts: list[Step]) -> Step | None:
    """The step that mounts what an entry behind ``mounts`` finds on ``destination``."""
    place = components(destination)
    for step in reversed(mounts):
        if step.kind in MOUNTING and components(getattr(step, "destination", "")) == place:
            return step
    return None


def _is_own(filesystem: str, namespaces: NamespacePlan) -> bool:
    """Whether a new mount of ``filesystem`` is not one more of a filesystem that others have."""
    kind = {"proc": "pid", "sysfs": "network", "mqueue": "ipc"}.get(filesystem)
    return kind is None or namespaces.is_new(kind)


def _within(source: str, rootfs: str) -> str:
    """The source of a bind mount relative to the rootfs, empty when it does not lie below that."""
    prefix = rootfs.rstrip("/") + "/"
    path = os.path.normpath(source)
    return path.removeprefix(prefix) if path.startswith(prefix) and rootfs != "/" else ""


def _is_readonly_late(mount: Mount) -> bool:
    """Whether things are made in it first, as in runc and crun: mount points of later entries,
    devices, what createContainer hooks make.
    """
    if not mount.options.attr_set & c.MOUNT_ATTR_RDONLY:
        return False
    return mount.filesystem == "tmpfs" or components(mount.destination) == DEV


def _label(filesystem: str, options: MountOptions, config: Config) -> list[Touch]:
    """Give a new filesystem linux.mountLabel: as an option or, where it takes none, as the label
    of its root, which is what comes back.
    """
    label = (config.get("linux") or {}).get("mountLabel")
    if not label or filesystem in WITHOUT_LABEL:
        return []
    if filesystem == "mqueue":
        # Imported for the configs that need it.
        from ociruntime.steps.lsm import LabelRoot

        return [LabelRoot(label)]
    options.data.append(label_option(config))
    return []


def label_option(config: Config) -> str:
    """linux.mountLabel as an option of a filesystem, empty without one (mount(8), ``context=``)."""
    label = (config.get("linux") or {}).get("mountLabel")
    if not label:
        return ""
    kind = (config.get("annotations") or {}).get(CONTEXT_TYPE) or CONTEXT_TYPES[0]
    if kind not in CONTEXT_TYPES:
        raise PlanError(
            f"annotation {CONTEXT_TYPE}: {kind!a} is no option of mount(8)",
            f"/annotations/{CONTEXT_TYPE}",
            f"use {', '.join(CONTEXT_TYPES)}",
        )
    return f"{kind}={label}"


def _idmapped(
    touches: list[Touch], label: str, idmap: str, options: MountOptions
) -> type[OpenSource]:
    """Have a bind mount's source idmapped, before its attributes; returns the class that says
    so.
    """
    # Imported for the configs that need it.
    from ociruntime.steps.idmap import MapIds, OpenIdmappedSource

    touches.insert(1, MapIds(label, idmap, recursive=options.ridmap))
    return OpenIdmappedSource


def _joins_mounts(namespaces: NamespacePlan) -> bool:
    return any(name == "mount" for name, _ in namespaces.joined)


def _tell_left_out(label: str, options: MountOptions, why: str, warnings: list[str]) -> None:
    """Tell what nobody uses; in the words of mount(8), an option of x- is for others to read."""
    left_out = [option for option in options.data if option[:2] not in ("x-", "X-")]
    if left_out:
        warnings.append(f"{label}: {why}: {', '.join(left_out)}")


def _check_new(
    pointer: str, label: str, filesystem: str, options: MountOptions, namespaces: NamespacePlan
) -> None:
    """Raise ``PlanError`` for a new filesystem that nobody could mount."""
    if not filesystem:
        raise PlanError(f"{label}: it has no type", pointer, "add a type, or the option bind")
    for option in options.data:
        key, _, value = option.partition("=")
        if key in ("uid", "gid") and value.isdecimal():
            maps = namespaces.uid_maps if key == "uid" else namespaces.gid_maps
            if maps and host_id(maps, int(value)) is None:
                raise PlanError(
                    f"{label}: {option} is not in linux.{key}Mappings",
                    f"{pointer}/options",
                    f"add a range covering {value}",
                )


def _cgroup_mount(
    pointer: str,
    label: str,
    entry: MountConfig,
    options: MountOptions,
    namespaces: NamespacePlan,
    host: Host,
    mount_label: str,
) -> Step:
    # Imported for the configs that need it: 300 lines.
    from ociruntime.plan.cgroup_mount import plan_cgroup_mount

    return plan_cgroup_mount(
        pointer,
        label,
        entry["destination"],
        options,
        host.cgroups,
        in_namespace=namespaces.has("cgroup"),
        filesystem=entry["type"],
        label_option=mount_label,
    )


def cgroup_sources(config: Config, namespaces: NamespacePlan, host: Host) -> list[Step]:
    """Steps that copy cgroup directories for mounts: those of the host's side go behind
    CreateCgroup.
    """
    if not any(entry.get("type") in CGROUP_TYPES for entry in config.get("mounts") or ()):
        return []
    from ociruntime.plan.cgroup_mount import plan_sources

    side = _side_of_sources(namespaces, host)
    return plan_sources(config, host.cgroups, namespaces, privileged=host.privileged, side=side)


def _side_of_sources(namespaces: NamespacePlan, host: Host) -> str:
    """Who opens sources: they belong to the caller's mount namespace, and only who has power over
    that may copy mounts from there.
    """
    return HOST if host.owns_mounts and not _joins_mounts(namespaces) else CONTAINER


def device_steps(
    config: Config, namespaces: NamespacePlan, host: Host
) -> tuple[list[Step], list[Step]]:
    """(steps of the host side, the devices and symlinks of /dev), nothing when the config binds a
    /dev of its own (as runc does). Of two devices on one path the first is made.
    """
    for entry in config.get("mounts") or ():
        if components(entry["destination"]) == DEV and (
            entry.get("type") in BIND_TYPES or parse(entry.get("options") or []).bind
        ):
            return [], []
    bind = namespaces.has("user") or host.in_userns
    devices = _default_devices(bind=True) if bind else dict(MADE_DEVICES)
    own: dict[str, MakeDevice] = {}
    for index, wanted in enumerate((config.get("linux") or {}).get("devices") or ()):
        path = "/" + "/".join(components(wanted["path"]))
        # ptmx is a link to the container's own [MUST]: the node would be the host's.
        if path in own or path == PTMX:
            continue
        device = Device(
            path,
            DEVICE_TYPES[wanted["type"]],
            wanted.get("major", 0),
            wanted.get("minor", 0),
            wanted.get("fileMode", 0o666) & 0o7777,
            wanted.get("uid", 0) or 0,
            wanted.get("gid", 0) or 0,
        )
        fifo = wanted["type"] == "p"
        own[path] = MakeDevice(f"/linux/devices/{index}", device, bind=bind and not fifo)
    devices.update(own)
    nodes = [step for step in own.values() if step.bind]
    if not nodes or not host.privileged or not namespaces.is_new("user"):
        return [], [CheckDev(), *devices.values(), *LINKS]
    # Imported for the configs that need it.
    from ociruntime.steps.devicenodes import HideNodes, ShowNodes

    inside = [CheckDev(), ShowNodes(), *devices.values(), HideNodes(), *LINKS]
    return [_nodes(nodes, namespaces)], inside


def _default_devices(*, bind: bool) -> dict[str, MakeDevice]:
    return {
        path: MakeDevice("", Device(path, c.S_IFCHR, *number, 0o666, 0, 0), bind=bind)
        for path, number in DEFAULT_DEVICES.items()
    }


# Steps of most plans: they say the same in all of them, and are made once.
MADE_DEVICES = _default_devices(bind=False)
LINKS: list[Step] = [
    MakeSymlink(path, target, replace=path == PTMX) for path, target in DEFAULT_SYMLINKS.items()
]


def _nodes(devices: list[MakeDevice], namespaces: NamespacePlan) -> Step:
    """The step that makes bound devices on the host side."""
    from ociruntime.steps.devicenodes import MakeNodes

    owners = [
        (
            host_id(namespaces.uid_maps, step.device.uid) or 0,
            host_id(namespaces.gid_maps, step.device.gid) or 0,
        )
        for step in devices
    ]
    for index, step in enumerate(devices):
        step.node = str(index)
    return MakeNodes(devices, owners)


def mask_steps(linux: LinuxConfig, label: str = "") -> list[Step]:
    """linux.readonlyPaths first, so that a mask below one of them still lies on top.

    Parameters: ``label`` is ``label_option`` of the config.
    """
    steps: list[Step] = []
    for index, path in enumerate(linux.get("readonlyPaths") or ()):
        steps.append(ReadonlyPath(f"/linux/readonlyPaths/{index}", path))
    for index, path in enumerate(linux.get("maskedPaths") or ()):
        steps.append(MaskPath(f"/linux/maskedPaths/{index}", path, label))
    return steps

"""The mounts that make a bundle's root filesystem, as containerd's snapshotters describe them.

Overlays list their layers in one option of up to a page (mount(2)); fsconfig(2) takes 255 bytes a
string, so the old call is used here. Source and target are containerd's own directories.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError, StepError, UsageError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import open_inside
from ociruntime.kernel.kernel import Kernel
from ociruntime.shim.idmapped import Idmap, remove_layers
from ociruntime.spec import mount_options as known
from ociruntime.spec.tables import MOUNT_ACTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT = 1, 2, 4, 8, 16, 32
MS_MANDLOCK, MS_DIRSYNC, MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME = 64, 128, 256, 1024, 2048
MS_BIND, MS_REC, MS_RELATIME, MS_I_VERSION = 4096, 16384, 1 << 21, 1 << 23
MS_STRICTATIME, MS_LAZYTIME = 1 << 24, 1 << 25
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
# What ``spec.mount_options`` says for the new mount API, in the flags of mount(2).
OF_ATTRIBUTES = (
    (c.MOUNT_ATTR_RDONLY, MS_RDONLY),
    (c.MOUNT_ATTR_NOSUID, MS_NOSUID),
    (c.MOUNT_ATTR_NODEV, MS_NODEV),
    (c.MOUNT_ATTR_NOEXEC, MS_NOEXEC),
    (c.MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
    (c.MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
    (c.MOUNT_ATTR_NOATIME, MS_NOATIME),
    (c.MOUNT_ATTR_STRICTATIME, MS_STRICTATIME),
)
OF_SUPERBLOCK = (
    ("ro", MS_RDONLY),
    ("sync", MS_SYNCHRONOUS),
    ("dirsync", MS_DIRSYNC),
    ("lazytime", MS_LAZYTIME),
    ("mand", MS_MANDLOCK),
    ("iversion", MS_I_VERSION),
)
# A bind mount keeps these only through a second, remounting call.
OF_THE_MOUNT = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME
OF_THE_MOUNT |= MS_NOSYMFOLLOW | MS_RELATIME | MS_STRICTATIME
# What the kernel takes (mount(2)), its end included.
PAGE = 4096
# For containerd, not for the kernel.
PRIVATE_PREFIX = "X-containerd."
LAYERS = "lowerdir="
UNSUPPORTED = ("loop",)
ACTIONS = ("bind", "rbind", "remount")
IDMAPS = ("uidmap=", "gidmap=")
# More than anybody stacks; a hostile mount namespace must not keep us here.
MOST_MOUNTS = 64


def mount_rootfs(mounts: list[dict[str, Any]], bundle: str) -> None:
    """Mount all of ``mounts``, one after the other, at the bundle's rootfs, or none and raise
    ``OciError``.

    Parameters: ``mounts`` are containerd's Mount messages; ``target`` is a path below the rootfs.
    """
    rootfs = f"{bundle}/rootfs"
    kernel = Kernel()
    try:
        os.mkdir(rootfs, 0o711)
    except FileExistsError:
        pass
    except OSError as error:
        raise StepError(f"rootfs {rootfs}", error.errno or 0) from None
    for index, mount in enumerate(mounts):
        label = f"rootfs mount {index} ({mount['type']} {mount['source']})"
        try:
            if mount["target"]:
                _mount_below(kernel, mount, bundle)
            else:
                _mount(kernel, mount, rootfs, bundle)
        except OSError as error:
            unmount_rootfs(bundle)
            raise StepError(label, error.errno or 0, _cure(error)) from None
        except OciError:
            unmount_rootfs(bundle)
            raise


def _mount_below(kernel: Kernel, mount: dict[str, Any], bundle: str) -> None:
    """What is mounted there already is an image's: its symlinks lead nowhere outside."""
    root = kernel.open(f"{bundle}/rootfs", c.O_PATH | c.O_DIRECTORY)
    try:
        target = open_inside(kernel, root, mount["target"], c.O_PATH)
        try:
            _mount(kernel, mount, f"/proc/self/fd/{target}", bundle)
        finally:
            kernel.close(target)
    finally:
        kernel.close(root)


def _mount(kernel: Kernel, mount: dict[str, Any], target: str, bundle: str) -> None:
    flags, propagation, data = parse(mount["options"])
    maps, data = _idmap_of(data)
    if maps is not None and flags & MS_BIND:
        maps.bind(kernel, mount["source"], target, recursive=bool(flags & MS_REC))
    elif maps is not None:
        if mount["type"] != "overlay":
            raise UsageError(f"rootfs mount of type {mount['type']}: only overlays are idmapped")
        data = _with_layers(maps.layers(kernel, bundle, layers_of(data)), data)
        os.chdir(bundle)  # a worker's working directory matters to nobody else
    text = ",".join(data)
    if len(text) >= PAGE - 1:
        source_directory, text = compact(data)
        os.chdir(source_directory)
    if len(text) >= PAGE - 1:
        raise OSError(errno.E2BIG, f"{len(text)} bytes of options, the kernel takes {PAGE - 1}")
    first = flags & ~OF_THE_MOUNT if flags & MS_BIND else flags
    if maps is None or not flags & MS_BIND:
        kernel.invoke(
            "mount",
            mount["source"].encode(),
            target.encode(),
            mount["type"].encode(),
            first,
            text.encode() or None,
        )
    if maps is not None:
        remove_layers(kernel, bundle)
    if flags & MS_BIND and flags & OF_THE_MOUNT:
        kernel.invoke("mount", b"", target.encode(), b"", flags | MS_REMOUNT, None)
    for kind in propagation:
        kernel.invoke("mount", b"", target.encode(), b"", kind, None)


def _idmap_of(data: list[str]) -> tuple[Idmap | None, list[str]]:
    """The mapping among the options, and the others."""
    texts = dict(option.split("=", 1) for option in data if option.startswith(IDMAPS))
    rest = [option for option in data if not option.startswith(IDMAPS)]
    return (Idmap(texts.get("uidmap", ""), texts.get("gidmap", "")) if texts else None), rest


def layers_of(data: list[str]) -> list[str]:
    """The lower layers of an overlay."""
    return next((o.removeprefix(LAYERS).split(":") for o in data if o.startswith(LAYERS)), [])


def _with_layers(layers: list[str], data: list[str]) -> list[str]:
    return [LAYERS + ":".join(layers) if o.startswith(LAYERS) else o for o in data]


def parse(options: list[str]) -> tuple[int, list[int], list[str]]:
    """(flags of mount(2), propagations in order, data) of a list of options; raises
    ``UsageError``.
    """
    for option in options:
        if option.startswith(UNSUPPORTED) or MOUNT_ACTIONS.get(option, "bind") not in ACTIONS:
            raise UsageError(f"rootfs mount option {option}: not supported by this shim")
    ours = [option for option in options if not option.startswith(PRIVATE_PREFIX)]
    # One option each: an overlay's layers may have commas in their names.
    meant = known.parse(ours, split=False)
    flags = MS_BIND if meant.bind else 0
    flags |= MS_REC if meant.rbind else 0
    flags |= MS_REMOUNT if meant.remount else 0
    superblock = (*meant.sb_flags, *meant.sb_flags_if_known)
    for attribute, flag in OF_ATTRIBUTES:
        flags |= flag if meant.attr_set & attribute else 0
    for name, flag in OF_SUPERBLOCK:
        flags |= flag if name in superblock else 0
    if meant.attr_clr & c.MOUNT_ATTR__ATIME and not meant.attr_set & c.MOUNT_ATTR__ATIME:
        flags |= MS_RELATIME
    return flags, meant.propagation, meant.data


def compact(data: list[str]) -> tuple[str, str]:
    """(directory, data) with an overlay's layers relative to the directory that they share."""
    layers = layers_of(data)
    if not layers or not all(layer.startswith("/") for layer in layers):
        return "/", ",".join(data)
    common = layers[0]
    while True:
        common = os.path.dirname(common)
        prefix = f"{common.rstrip('/')}/"
        if all(layer.startswith(prefix) for layer in layers):
            break
    short = [layer.removeprefix(prefix) for layer in layers]
    return common, ",".join(_with_layers(short, data))


def _cure(error: OSError) -> str:
    said = error.strerror or ""
    return "" if said == os.strerror(error.errno or 0) else said


def unmount_rootfs(bundle: str) -> None:
    """Take every mount at the bundle's rootfs away, with what is mounted below it, and what was
    left of mounting it; none is no error.
    """
    kernel = Kernel()
    remove_layers(kernel, bundle)
    rootfs = f"{bundle}/rootfs"
    for _ in range(MOST_MOUNTS):
        try:
            kernel.invoke("umount2", rootfs.encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise StepError(f"unmount {rootfs}", error.errno or 0) from None

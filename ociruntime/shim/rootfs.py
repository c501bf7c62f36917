"""The mounts that make a bundle's root filesystem, as containerd's snapshotters describe them.

Overlays list their layers in one option of up to a page (mount(2)); fsconfig(2) takes 255 bytes a
string, so the old call is used here. Source and target are containerd's own directories.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError, StepError, UsageError
from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import InRoot
from ociruntime.kernel.kernel import Kernel
from ociruntime.shim.idmapped import Idmap, remove_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT = 1, 2, 4, 8, 16, 32
MS_DIRSYNC, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 128, 1024, 2048, 4096, 16384
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
# option -> (bits to set, bits to clear)
FLAGS = {
    "async": (0, MS_SYNCHRONOUS),
    "atime": (0, MS_NOATIME),
    "bind": (MS_BIND, 0),
    "defaults": (0, 0),
    "dev": (0, MS_NODEV),
    "diratime": (0, MS_NODIRATIME),
    "dirsync": (MS_DIRSYNC, 0),
    "exec": (0, MS_NOEXEC),
    "noatime": (MS_NOATIME, 0),
    "nodev": (MS_NODEV, 0),
    "nodiratime": (MS_NODIRATIME, 0),
    "noexec": (MS_NOEXEC, 0),
    "norelatime": (0, MS_RELATIME),
    "nostrictatime": (0, MS_STRICTATIME),
    "nosuid": (MS_NOSUID, 0),
    "rbind": (MS_BIND | MS_REC, 0),
    "relatime": (MS_RELATIME, 0),
    "ro": (MS_RDONLY, 0),
    "rw": (0, MS_RDONLY),
    "strictatime": (MS_STRICTATIME, 0),
    "suid": (0, MS_NOSUID),
    "sync": (MS_SYNCHRONOUS, 0),
}
PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}
# A bind mount keeps these only through a second, remounting call.
OF_THE_MOUNT = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME
# What the kernel takes (mount(2)), its end included.
PAGE = 4096
# For containerd, not for the kernel.
PRIVATE_PREFIX = "X-containerd."
LAYERS = "lowerdir="
UNSUPPORTED = ("loop",)
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
        target = InRoot(kernel, root).find(mount["target"])
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
    flags = 0
    propagation = []
    data = []
    for option in options:
        if option.startswith(UNSUPPORTED):
            raise UsageError(f"rootfs mount option {option}: not supported by this shim")
        if option in FLAGS:
            added, removed = FLAGS[option]
            flags = (flags | added) & ~removed
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif not option.startswith(PRIVATE_PREFIX):
            data.append(option)
    return flags, propagation, data


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

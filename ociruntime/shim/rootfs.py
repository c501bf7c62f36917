"""The mounts that make a bundle's root filesystem, as containerd's snapshotters describe them.

Overlays list their layers in one option of up to a page (mount(2)); fsconfig(2) takes 255 bytes a
string, so the old call is used here. Source and target are containerd's own directories.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import StepError, UsageError
from ociruntime.kernel.kernel import Kernel

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
UNSUPPORTED = ("loop", "uidmap=", "gidmap=")
# More than anybody stacks; a hostile mount namespace must not keep us here.
MOST_MOUNTS = 64


def mount_rootfs(mounts: list[dict[str, Any]], rootfs: str) -> None:
    """Mount all of ``mounts``, one after the other, at ``rootfs``, or none and raise
    ``StepError``.

    Parameters: ``mounts`` are containerd's Mount messages; ``target`` is a path below the rootfs.
    """
    os.makedirs(rootfs, 0o711)
    kernel = Kernel()
    for index, mount in enumerate(mounts):
        label = f"rootfs mount {index} ({mount['type']} {mount['source']})"
        target = rootfs
        if mount["target"]:
            target = os.path.join(rootfs, mount["target"].lstrip("/"))
            if ".." in mount["target"].split("/"):
                raise UsageError(f"{label}: its target contains '..'")
        try:
            _mount(kernel, mount, target)
        except OSError as error:
            if index:
                unmount_rootfs(rootfs)
            raise StepError(label, error.errno or 0, _cure(error)) from None


def _mount(kernel: Kernel, mount: dict[str, Any], target: str) -> None:
    flags, propagation, data = parse(mount["options"])
    text = ",".join(data)
    source = mount["source"].encode()
    if len(text) >= PAGE - 1:
        source_directory, text = compact(data)
        os.chdir(source_directory)  # a worker's working directory matters to nobody else
    if len(text) >= PAGE - 1:
        raise OSError(errno.E2BIG, f"{len(text)} bytes of options, the kernel takes {PAGE - 1}")
    first = flags & ~OF_THE_MOUNT if flags & MS_BIND else flags
    kernel.invoke(
        "mount", source, target.encode(), mount["type"].encode(), first, text.encode() or None
    )
    if flags & MS_BIND and flags & OF_THE_MOUNT:
        kernel.invoke("mount", b"", target.encode(), b"", flags | MS_REMOUNT, None)
    for kind in propagation:
        kernel.invoke("mount", b"", target.encode(), b"", kind, None)


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
    where = next((index for index, option in enumerate(data) if option.startswith(LAYERS)), -1)
    if where < 0:
        return "/", ",".join(data)
    layers = data[where].removeprefix(LAYERS).split(":")
    if not all(layer.startswith("/") for layer in layers):
        return "/", ",".join(data)
    common = layers[0]
    while True:
        common = os.path.dirname(common)
        prefix = f"{common.rstrip('/')}/"
        if all(layer.startswith(prefix) for layer in layers):
            break
    short = ":".join(layer.removeprefix(prefix) for layer in layers)
    return common, ",".join([*data[:where], LAYERS + short, *data[where + 1 :]])


def _cure(error: OSError) -> str:
    said = error.strerror or ""
    return "" if said == os.strerror(error.errno or 0) else said


def unmount_rootfs(rootfs: str) -> None:
    """Take every mount at ``rootfs`` away, with what is mounted below it; none is no error."""
    kernel = Kernel()
    for _ in range(MOST_MOUNTS):
        try:
            kernel.invoke("umount2", rootfs.encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise StepError(f"unmount {rootfs}", error.errno or 0) from None

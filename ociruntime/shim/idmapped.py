"""Root filesystems for user namespaces: containerd (from 2.0 on) has the layers shown with the
container's ids instead of copying them, by the mount options ``uidmap=`` and ``gidmap=``
(mount_setattr(2), "ID-mapped mounts").

The kernel maps no overlay as a whole, but each of its layers: those are attached below the bundle
while the overlay is mounted, which keeps its own copies of them.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import UsageError
from ociruntime.kernel import constants as c
from ociruntime.steps.idmap import apply_idmap, user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

    Mapping = tuple[int, int, int]

DIRECTORY = "idmapped"
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
LARGEST_ID = (1 << 32) - 1


def parse(text: str) -> list[Mapping]:
    """The mappings of ``ID:HOST-ID:SIZE`` texts with commas between; raises ``UsageError``."""
    found = []
    for part in text.split(","):
        numbers = part.split(":")
        if len(numbers) != 3 or not all(word.isdecimal() and word.isascii() for word in numbers):
            raise UsageError(f"rootfs mount: id mapping {text}: write ID:HOST-ID:SIZE")
        inside, outside, size = map(int, numbers)
        if max(inside, outside) + size - 1 > LARGEST_ID or not size:
            raise UsageError(f"rootfs mount: id mapping {text}: ids have 32 bits")
        found.append((inside, outside, size))
    return found


class Idmap:
    """The mappings of one mount; ``uids`` and ``gids`` are the texts of its options."""

    __slots__ = ("gids", "uids")

    def __init__(self, uids: str, gids: str) -> None:
        if not uids or not gids:
            raise UsageError("rootfs mount: uidmap= and gidmap= go together")
        self.uids = parse(uids)
        self.gids = parse(gids)

    def bind(self, kernel: Kernel, source: str, target: str, *, recursive: bool) -> None:
        """Bind ``source`` at ``target``, both host paths, with these ids."""
        self._attach_all(kernel, [(source, target)], recursive=recursive)

    def layers(self, kernel: Kernel, bundle: str, layers: list[str]) -> list[str]:
        """Attach the layers below the bundle with these ids; their paths from there.

        ``remove_layers`` takes them away, also when this has failed.
        """
        os.mkdir(f"{bundle}/{DIRECTORY}", 0o700)
        names = [f"{DIRECTORY}/{index}" for index in range(len(layers))]
        for name in names:
            os.mkdir(f"{bundle}/{name}", 0o700)
        pairs = [(layer, f"{bundle}/{name}") for layer, name in zip(layers, names, strict=True)]
        self._attach_all(kernel, pairs, recursive=False)
        return names

    def _attach_all(self, kernel: Kernel, pairs: list[tuple[str, str]], *, recursive: bool) -> None:
        userns = user_namespace(kernel, self.uids, self.gids)
        try:
            for source, target in pairs:
                flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if recursive else 0)
                mount = kernel.open_tree(c.AT_FDCWD, source, flags)
                try:
                    apply_idmap(kernel, mount, userns, f"rootfs {source}", recursive=recursive)
                    place = kernel.open(target, c.O_PATH | c.O_DIRECTORY)
                    try:
                        kernel.move_mount(mount, place)
                    finally:
                        kernel.close(place)
                finally:
                    kernel.close(mount)
        finally:
            kernel.close(userns)


def remove_layers(kernel: Kernel, bundle: str) -> None:
    """Take away what ``Idmap.layers`` has attached and made; nothing there is no error."""
    try:
        names = os.listdir(f"{bundle}/{DIRECTORY}")
    except FileNotFoundError:
        return
    for name in names:
        path = f"{bundle}/{DIRECTORY}/{name}"
        try:
            kernel.invoke("umount2", path.encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.EINVAL:  # it was not attached
                raise
        os.rmdir(path)
    os.rmdir(f"{bundle}/{DIRECTORY}")

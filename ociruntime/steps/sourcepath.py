"""The path of a bind mount's source, looked up on the host side.

Down to the rootfs the path is the caller's, and what leads where is his affair. Below it everything
is the image's: a symlink there must not choose what of the host the container gets. Paths are
compared with the rootfs by what they lead to, not by their text: a symlink of the host may lead
into the rootfs, too.
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import SYMLINKS_MAX, components, open_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel, Stat


def find_source(kernel: Kernel, path: str, flags: int, rootfs: int, *, plain_root: bool) -> int:
    """A descriptor of ``path``, opened with ``flags`` (open(2), O_PATH among them).

    Parameters: ``rootfs`` is a descriptor of that directory; ``plain_root`` whether its own path,
    below which ``path`` is not, has no symlink. Raises ``OSError``.
    """
    if plain_root:
        try:
            # Two paths without symlinks lead to the same place only when they are the same.
            return kernel.openat2(c.AT_FDCWD, path, flags, c.RESOLVE_NO_SYMLINKS)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
    return _walk(kernel, path, flags, rootfs)


def _walk(kernel: Kernel, path: str, flags: int, rootfs: int) -> int:
    """Follow ``path`` component by component; from the rootfs on, it stays inside that."""
    goal = kernel.stat(rootfs)
    here = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
    left, links = components(path), 0
    try:
        if _same(kernel.stat(here), goal):
            return kernel.open(path, flags)  # with the host's root all sources are the host's
        while left:
            if _same(kernel.stat(here), goal):
                return open_inside(kernel, here, "/".join(left), flags)
            name = left.pop(0)
            is_proc = kernel.filesystem(here) == c.PROC_SUPER_MAGIC
            target = "" if is_proc else _link(kernel, here, name)
            if target and (left or not flags & c.O_NOFOLLOW):
                links += 1
                if links > SYMLINKS_MAX:
                    raise OSError(errno.ELOOP, "too many levels of symbolic links")
                left[:0] = components(target)
                if not target.startswith("/"):
                    continue
                step = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
            else:
                # Magic links of a procfs are followed by the kernel; O_DIRECTORY has what is
                # mounted on demand mounted.
                how = (c.O_PATH | c.O_DIRECTORY) if left else flags
                step = kernel.openat(here, name, how)
            kernel.close(here)
            here = step
        last, here = here, -1
        return last
    finally:
        if here >= 0:
            kernel.close(here)


def _same(one: Stat, other: Stat) -> bool:
    return (one.ino, one.device) == (other.ino, other.device)


def _link(kernel: Kernel, directory: int, name: str) -> str:
    """Where the symlink ``name`` leads, empty when it is none."""
    try:
        return kernel.readlinkat(directory, name)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return ""
        raise

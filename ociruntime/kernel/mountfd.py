"""New filesystems and bind sources as detached mounts, complete before anybody can see them.

A mount gets all its attributes while it is detached and is attached last, onto an O_PATH fd. So
there is no moment in which it is visible without ``ro``, and nothing is ever remounted by path
(CVE-2026-115521, CVE-2021-30465).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.inside import Inside
    from ociruntime.kernel.kernel import Kernel

# fsconfig(2) takes values of at most 255 bytes; longer ones need the old mount(2).
LONGEST_VALUE = 255


def needs_old_mount(source: str, options: list[str]) -> bool:
    """True when a value is too long for fsconfig(2), as with overlayfs over many layers."""
    values = [source, *(option.partition("=")[2] for option in options)]
    return any(len(value.encode()) > LONGEST_VALUE for value in values)


def clone_path(kernel: Kernel, directory: int, path: str, *, recursive: bool) -> int:
    """A detached copy of the mount (tree) at a *host* path."""
    flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if recursive else 0)
    return kernel.open_tree(directory, path, flags)


def clone_fd(kernel: Kernel, fd: int, *, recursive: bool) -> int:
    """A detached copy of the mount (tree) below an O_PATH fd of this mount namespace."""
    flags = c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH | (c.AT_RECURSIVE if recursive else 0)
    return kernel.open_tree(fd, "", flags)


def null_device(kernel: Inside) -> int:
    """An O_PATH fd of the host's /dev/null, proven to be character device 1:3 (CVE-2025-31133,
    CVE-2026-88265).
    """
    fd = kernel.open("/dev/null", c.O_PATH | c.O_NOFOLLOW)
    kernel.queue(p.NODE, fd, c.S_IFCHR, 1, 3, explain=_not_null)
    return fd


def _not_null(_number: int, _value: int, _text: bytes) -> OSError:
    return OSError(errno.EINVAL, "the host's /dev/null is not character device 1:3")

"""New filesystems and bind sources as detached mounts, complete before anybody can see them.

A mount gets all its attributes while it is detached and is attached last, onto an O_PATH fd. So
there is no moment in which it is visible without ``ro``, and nothing is ever remounted by path
(CVE-2026-115521, CVE-2021-30465).
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.kernel.kernel import Kernel

# fsconfig(2) takes values of at most 255 bytes; longer ones need the old mount(2).
LONGEST_VALUE = 255


def new_filesystem(
    kernel: Kernel,
    filesystem: str,
    source: str,
    options: list[str],
    attributes: int = 0,
    flags_if_known: Sequence[str] = (),
) -> int:
    """A detached mount of a new filesystem.

    Parameters: ``options`` are ``key=value`` or ``key`` strings as in mount(8)'s data;
    ``attributes`` are MOUNT_ATTR_* flags; ``flags_if_known`` are flags that many filesystems do
    not have: such a one goes without. Raises ``OSError`` whose text is what the filesystem itself
    said, when it said something.
    """
    context = kernel.fsopen(filesystem)
    try:
        if source:
            kernel.fsconfig_string(context, "source", source)
        _configure(kernel, context, options)
        for flag in flags_if_known:
            _set_if_known(kernel, context, flag)
        kernel.fsconfig_create(context)
        return kernel.fsmount(context, attributes)
    except OSError as error:
        raise OSError(error.errno, _messages(kernel, context) or error.strerror) from None
    finally:
        kernel.close(context)


def reconfigure(kernel: Kernel, mount: int, options: list[str]) -> None:
    """Change options of the filesystem that ``mount`` shows, wherever else it is mounted.

    ``options`` and errors are as in ``new_filesystem``; what is not named stays as it is.
    """
    context = kernel.fspick(mount)
    try:
        _configure(kernel, context, options)
        kernel.fsconfig_reconfigure(context)
    except OSError as error:
        raise OSError(error.errno, _messages(kernel, context) or error.strerror) from None
    finally:
        kernel.close(context)


def _configure(kernel: Kernel, context: int, options: list[str]) -> None:
    """Set each option, and say which one was refused."""
    for option in options:
        key, separator, value = option.partition("=")
        try:
            if separator:
                kernel.fsconfig_string(context, key, value)
            else:
                kernel.fsconfig_flag(context, key)
        except OSError as error:
            said = _messages(kernel, context)
            text = f"option {option}: {said}" if said else f"option {option} is refused"
            raise OSError(error.errno, text) from None


def _set_if_known(kernel: Kernel, context: int, flag: str) -> None:
    try:
        kernel.fsconfig_flag(context, flag)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _messages(kernel, context)  # or a later failure would be explained by this one


def _messages(kernel: Kernel, context: int) -> str:
    """What the filesystem wrote into its context's log (fsopen(2)): ``e devpts: Bad value for
    'gid'``.
    """
    said: list[str] = []
    for _ in range(8):
        try:
            said.append(kernel.read(context, 512).decode("utf-8", "replace").strip())
        except OSError:
            break
    return "; ".join(line[2:] if line[:2] in ("e ", "w ", "i ") else line for line in said if line)


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


def null_device(kernel: Kernel) -> int:
    """An O_PATH fd of the host's /dev/null, proven to be character device 1:3 (CVE-2025-31133,
    CVE-2026-88265).
    """
    fd = kernel.open("/dev/null", c.O_PATH | c.O_NOFOLLOW)
    if not kernel.stat(fd).is_device(c.S_IFCHR, 1, 3):
        kernel.close(fd)
        raise OSError(errno.EINVAL, "the host's /dev/null is not character device 1:3")
    return fd

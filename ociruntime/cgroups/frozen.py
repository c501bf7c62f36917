"""Whether a cgroup is frozen, with a few reads and next to no code: ``state`` and ``start`` ask
each time.

The rules are those of ``freezer``, which needs open directories and can do more.
"""

from __future__ import annotations

import errno

from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

ENOUGH = 256
NO_CHILDREN = 2


def is_frozen(kernel: Kernel, paths: dict[str, str]) -> bool:
    """True when the container's cgroup or one above it is frozen, or about to be.

    ``paths`` are its directories by hierarchy, as in the state. False when it is gone. On a hybrid
    host either freezer stops it, whichever of them we use.
    """
    for key, directory in paths.items():
        if "freezer" in key.split(","):
            if _read(kernel, f"{directory}/freezer.state") in ("FREEZING\n", "FROZEN\n"):
                return True
            break
    unified = paths.get("")
    if unified is None:
        return False
    if "frozen 1\n" in _read(kernel, f"{unified}/cgroup.events"):
        return True
    return _read(kernel, f"{unified}/cgroup.freeze") == "1\n"


def holds_back(kernel: Kernel, paths: dict[str, str]) -> bool:
    """Whether something frozen may keep SIGKILL waiting: on v1 the cgroup, or one below it that the
    container made. In the unified hierarchy the frozen die.
    """
    for key, directory in paths.items():
        if "freezer" not in key.split(","):
            continue
        try:
            fd = kernel.open(directory, c.O_PATH | c.O_DIRECTORY)
        except FileNotFoundError:
            return False
        try:
            # Subdirectories count as links.
            return kernel.stat(fd).links > NO_CHILDREN or is_frozen(kernel, paths)
        finally:
            kernel.close(fd)
    return False


def _read(kernel: Kernel, path: str) -> str:
    try:
        fd = kernel.open(path, c.O_RDONLY)
        try:
            return kernel.read(fd, ENOUGH).decode()
        finally:
            kernel.close(fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return ""
        raise

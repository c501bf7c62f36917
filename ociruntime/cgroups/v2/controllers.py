"""Levels of the unified hierarchy: handing controllers down to children.

Source: Documentation/admin-guide/cgroup-v2.rst, "Controlling Controllers", "Threads".
"""

from __future__ import annotations

import errno

from ociruntime.cgroups import tree
from ociruntime.cgroups.explain import explain_create
from ociruntime.cgroups.files import read_optional, write_file
from ociruntime.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.explain import Withheld
    from ociruntime.kernel.kernel import Kernel


def hand_down(
    kernel: Kernel, parent: int, path: str, withheld: Withheld, only: str | None = None
) -> None:
    """Enable every controller, or ``only`` that one, for the children of ``parent``; what is
    refused is told when it is missed.
    """
    available = read_optional(kernel, parent, "cgroup.controllers").split()
    enabled = read_optional(kernel, parent, "cgroup.subtree_control").split()
    missing = [name for name in available if name not in enabled and only in (None, name)]
    if not missing:
        return
    try:
        write_file(kernel, parent, "cgroup.subtree_control", " ".join(f"+{x}" for x in missing))
    except OSError:
        # All or nothing for one write: some can be enabled alone (threaded ones next to processes,
        # say).
        for name in missing:
            try:
                write_file(kernel, parent, "cgroup.subtree_control", f"+{name}")
            except OSError as error:
                withheld[name] = (path, error.errno or 0)


def take_over(kernel: Kernel, child: int) -> None:
    """Below a threaded cgroup only threaded ones work, and a new one has to be told so."""
    if read_optional(kernel, child, "cgroup.type") == "domain invalid":
        write_file(kernel, child, "cgroup.type", "threaded")


def make_levels(
    kernel: Kernel, cgroup: int, path: str, names: list[str], label: str
) -> list[int]:
    """Make the cgroups ``names``, each in the one before, where they are missing; descriptors of
    all. ``path`` is that of ``cgroup``, ``label`` who asks for it. Raises ``StepError``.
    """
    levels: list[int] = []
    try:
        for name in names:
            path += f"/{name}"
            above = levels[-1] if levels else cgroup
            try:
                kernel.mkdirat(above, name, 0o755)
            except FileExistsError:
                pass
            levels.append(kernel.openat(above, name, tree.DIRECTORY))
            take_over(kernel, levels[-1])
    except OSError as error:
        for fd in levels:
            kernel.close(fd)
        number = error.errno or 0
        detail = "a file has this name; choose another" if number == errno.ENOTDIR else ""
        raise StepError(
            f"{label}: cgroup {path}", number, detail or explain_create(number)
        ) from None
    return levels

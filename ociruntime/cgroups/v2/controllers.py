"""Levels of the unified hierarchy: handing controllers down to children.

Source: Documentation/admin-guide/cgroup-v2.rst, "Controlling Controllers", "Threads".
"""

from __future__ import annotations

from ociruntime.cgroups.files import read_optional, write_file

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

"""Plan: process.rlimits, from outside where that is possible and by oci-init where it is not."""

from __future__ import annotations

from ociruntime.spec.tables import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.plan.step import Step

    Outside = list[tuple[str, str, int, int, int]]
    Inside = list[tuple[int, int, int]]

# oci-init accepts `start` on a new descriptor and has some of its own: a smaller limit than this
# would keep it waiting for ever.
DESCRIPTORS = 64
# So many bind mounts have room below any limit that anybody sets; with more it is looked at.
FEW_SOURCES = 16


def rlimits(process: dict[str, Any], keep_fds: int) -> tuple[Outside, Inside]:
    """(what is set with our privileges, what oci-init sets at the end).

    The first are (pointer, name, RLIMIT_*, soft, hard), the second (RLIMIT_*, soft, hard), always
    at or below what was set before, which needs no privilege.
    """
    outside: Outside = []
    inside: Inside = []
    floor = DESCRIPTORS + keep_fds
    for index, entry in enumerate(process.get("rlimits") or ()):
        name, soft, hard = entry["type"], entry["soft"], entry["hard"]
        early = soft
        if name == "RLIMIT_NOFILE" and soft < floor:
            inside.append((RLIMITS[name], soft, hard))
            early = floor
        if early <= hard or early == soft:
            pointer = f"/process/rlimits/{index}"
            outside.append((pointer, name, RLIMITS[name], early, hard))
    return outside, inside


def open_limit(sources: int) -> tuple[list[Step], list[Step]]:
    """(what makes room for the descriptors of so many ``sources`` of bind mounts, what takes the
    room away again); nothing for few.
    """
    if sources <= FEW_SOURCES:
        return [], []
    # Imported for the configs that need it.
    from ociruntime.steps.openlimit import RaiseOpenLimit, RestoreOpenLimit

    raised = RaiseOpenLimit(sources)
    return [raised], [RestoreOpenLimit(raised)]

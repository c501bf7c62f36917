"""Plan: process.rlimits, from outside where that is possible and by oci-init where it is not."""

from __future__ import annotations

from ociruntime.spec.tables import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import ProcessConfig

    Outside = list[tuple[str, str, int, int, int]]
    Inside = list[tuple[int, int, int]]

# oci-init accepts `start` on a new descriptor and has some of its own: a smaller limit than this
# would keep it waiting for ever.
DESCRIPTORS = 64


def rlimits(process: ProcessConfig, keep_fds: int) -> tuple[Outside, Inside]:
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

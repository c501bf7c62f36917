"""Plan: which sources of bind mounts are opened when their turn comes, and not all beforehand."""

from __future__ import annotations

from ociruntime.process.step import CONTAINER, HOST, Step

# So many bind mounts have room below any limit of open files that anybody sets.
FEW_SOURCES = 16


def spread(opens: list[Step], mounts: list[Step]) -> tuple[list[Step], list[Step]]:
    """``opens`` and ``mounts`` for containers with many bind mounts: what stays of the first, and
    the second with the rest among them.

    Each of ``opens`` has the pointer of the one of ``mounts`` that needs it. A source means the
    same late as early: mounts of the container are in a namespace of its own, and change nothing
    of what the host side sees; what lies in the rootfs is not among ``opens``.
    """
    if len(opens) <= FEW_SOURCES:
        return opens, mounts
    # Imported for the configs that need it.
    from ociruntime.steps.handover import BATCH, CloseSources, TakeSources

    early, late = opens[:FEW_SOURCES], opens[FEW_SOURCES:]
    inside = {step.pointer: step for step in late if step.side == CONTAINER}
    handed = [step for step in late if step.side == HOST]
    steps: list[Step] = []
    if handed:
        steps.append(CloseSources([step.pointer for step in early if step.side == HOST]))
    for mount in mounts:
        if mount.pointer in inside:
            steps.append(inside.pop(mount.pointer))
        elif handed and mount.pointer == handed[0].pointer:
            batch, handed = handed[:BATCH], handed[BATCH:]
            pointers = [step.pointer for step in batch]
            steps += [*batch, TakeSources(pointers)]
        steps.append(mount)
    return early, steps

"""Plan: linux.intelRdt."""

from __future__ import annotations

from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.step import Step
    from ociruntime.spec.documents import LinuxConfig, LinuxIntelRdtConfig

MB = "MB:"


def rdt_steps(linux: LinuxConfig, container_id: str) -> tuple[list[Step], list[Step]]:
    """(steps before init exists, steps right behind it) for linux.intelRdt; both empty without it.

    Raises ``PlanError`` for a closID that is no name of a directory.
    """
    wanted = linux.get("intelRdt")
    if wanted is None:
        return [], []
    class_id = wanted.get("closID") or ""
    if class_id in (".", "..") or ("/" in class_id and class_id != "/"):
        raise PlanError(
            f"linux.intelRdt.closID {class_id}: not a name", "/linux/intelRdt/closID", "use a name"
        )
    # Imported for the configs that need it.
    from ociruntime.steps.rdt import JoinRdtClass, MakeRdtClass

    monitoring = bool(wanted.get("enableMonitoring"))
    make = MakeRdtClass(container_id, class_id, schema_lines(wanted), monitoring=monitoring)
    return [make], [JoinRdtClass()]


def schema_lines(wanted: LinuxIntelRdtConfig) -> list[str]:
    """What is written to schemata, in the order that the specification demands: l3CacheSchema,
    memBwSchema, schemata. Lines of l3CacheSchema about bandwidth give way to memBwSchema.
    """
    cache, bandwidth = wanted.get("l3CacheSchema") or "", wanted.get("memBwSchema") or ""
    if bandwidth:
        lines = cache.split("\n")
        cache = "\n".join(line for line in lines if not line.lstrip().startswith(MB))
    return [line for line in (cache, bandwidth, *(wanted.get("schemata") or ())) if line]

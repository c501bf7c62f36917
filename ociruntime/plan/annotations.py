"""Annotations of crun's that ask for what cannot be had here, where whoever sets one must not get a
container without it; and those that name cgroups.
"""

from __future__ import annotations

from ociruntime.cgroups.detect import V2
from ociruntime.cgroups.path import split
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cgroups.detect import Layout
    from ociruntime.spec.documents import Config

HANDLER = "run.oci.handler"
# The only handler that there is.
OURS = "ociruntime"
# crun's, with what to do instead.
REFUSED = {
    "run.oci.systemd.force_cgroup_v1": (
        "a container gets no cgroup v1 where the host has v2",
        "use an image whose systemd knows cgroup v2 (since 226), or a host with cgroup v1",
    ),
}
ALL = frozenset({HANDLER, *REFUSED})
# The container's cgroup below that of its systemd unit, and the one below the container's in which
# its processes start.
SUBGROUP = "run.oci.systemd.subgroup"
DELEGATED = "run.oci.delegate-cgroup"
# Unknown names of system calls are an error, and not left out.
FAIL_UNKNOWN = "run.oci.seccomp_fail_unknown_syscall"


def refuse_annotations(annotations: dict[str, str]) -> None:
    """Raise ``PlanError`` for one that cannot be followed."""
    if ALL.isdisjoint(annotations):
        return
    for name, (what, cure) in REFUSED.items():
        if name in annotations:
            raise PlanError(f"annotation {name}: {what}", _pointer(name), cure)
    handler = annotations.get(HANDLER, OURS)
    if handler not in ("", OURS):
        raise PlanError(
            f"annotation {HANDLER}: there is no handler {handler} in this runtime",
            _pointer(HANDLER),
            "leave it out, or use the runtime that has it",
        )


def fails_on_unknown(config: Config) -> bool:
    """Whether linux.seccomp must name nothing that libseccomp does not know."""
    annotations: dict[str, str] = config.get("annotations") or {}
    return annotations.get(FAIL_UNKNOWN, "0") != "0"


def subgroup_of(annotations: dict[str, str]) -> list[str]:
    """The names of the cgroup below the unit's, one a level; [] where none is asked for. Raises
    ``PlanError`` for a path with ``..``.
    """
    return split(annotations.get(SUBGROUP, ""), _pointer(SUBGROUP))


def delegated_of(annotations: dict[str, str], layout: Layout) -> list[str]:
    """The names of the cgroup below the container's for its processes, one a level; [] where none
    is asked for. Raises ``PlanError`` for a path with ``..``, and without cgroup v2, as crun does.
    """
    if DELEGATED not in annotations:
        return []
    names = split(annotations[DELEGATED], _pointer(DELEGATED))
    if names and layout.mode != V2:
        raise PlanError(
            f"annotation {DELEGATED}: only on cgroup v2 can a container be given a cgroup "
            f"(cgroups: {layout.mode})",
            _pointer(DELEGATED),
            "leave it out, or use a host with cgroup v2",
        )
    return names


def _pointer(name: str) -> str:
    return f"/annotations/{name}"

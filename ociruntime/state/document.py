"""The state document: what ``state`` prints, what hooks read on stdin, what a seccomp agent gets
(runtime.md#state).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.state.store import Container
    from ociruntime.state.stored import ReportedState


def state_document(container: Container, status: str, pid: int) -> ReportedState:
    """The properties of the specification, and those that runc adds and engines read.

    Parameters: ``pid`` as the reader sees it, 0 when there is no process.
    """
    data = container.data
    document: ReportedState = {
        "ociVersion": data.get("ociVersion", "1.0.0"),
        "id": container.id,
        "pid": pid,
        "status": status,
        "bundle": data.get("bundle", ""),
        "rootfs": data.get("rootfs", ""),
        "created": data.get("created", ""),
        "owner": data.get("owner", ""),
    }
    if data.get("annotations"):
        document["annotations"] = data["annotations"]
    return document

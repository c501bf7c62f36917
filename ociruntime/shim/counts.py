"""What a daemon tells of itself: requests with their times, containers, and how many of them it has
taken over from one that died (``ociruntime metrics --shims``).
"""

from __future__ import annotations

import time

from ociruntime import __version__
from ociruntime import hostos as os
from ociruntime.protobuf import STRING, UINT, Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.shim.service import Tasks

REQUESTS = Message(
    method=(1, STRING), count=(2, UINT), failed=(3, UINT), longest=(4, UINT), nanoseconds=(5, UINT)
)
COUNTS = Message(
    pid=(1, UINT),
    namespace=(2, STRING),
    version=(3, STRING),
    containers=(4, UINT),
    executions=(5, UINT),
    adopted=(6, UINT),
    shared=(7, UINT),
    requests=(8, [REQUESTS]),
)


class Counts:
    """Of the requests to this daemon, by method; ``adopted`` are containers of its predecessor."""

    __slots__ = ("_by_method", "adopted")

    def __init__(self) -> None:
        self._by_method: dict[str, list[int]] = {}
        self.adopted = 0

    def note(self, method: str, began: int, *, failed: bool) -> None:
        """A request is answered that came at ``began`` (time.monotonic_ns)."""
        took = time.monotonic_ns() - began
        entry = self._by_method.get(method)
        if entry is None:
            entry = self._by_method[method] = [0, 0, 0, 0]
        entry[0] += 1
        entry[1] += failed
        entry[2] = max(entry[2], took)
        entry[3] += took

    def requests(self) -> list[dict[str, Any]]:
        """REQUESTS of each method that there was one of."""
        names = "count", "failed", "longest", "nanoseconds"
        return [
            {"method": method, **dict(zip(names, entry, strict=True))}
            for method, entry in self._by_method.items()
        ]


async def tell(tasks: Tasks, _request: dict[str, Any]) -> dict[str, Any]:
    """Counts: all of it."""
    there = tasks.tasks.values()
    return {
        "pid": os.getpid(),
        "namespace": tasks.namespace,
        "version": __version__,
        "containers": len(there),
        "executions": sum(len(task.executions) for task in there),
        "adopted": tasks.counts.adopted,
        "shared": int(tasks.shared),
        "requests": tasks.counts.requests(),
    }

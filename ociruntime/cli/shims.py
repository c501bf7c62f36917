"""The daemons of a socket directory as OpenMetrics: each is asked for what it counts."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.metrics.exposition import COUNTER, GAUGE, INFO, Family
from ociruntime.protobuf import WireError
from ociruntime.shim import messages as m
from ociruntime.shim.counts import COUNTS
from ociruntime.shim.shared import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREFIX = "ociruntime_shim"
NANOSECONDS = 1e9
# name -> (kind, unit, meaning), in the order in which they are told
FAMILIES = {
    "": (INFO, "", "A daemon of the containerd shim."),
    "containers": (GAUGE, "", "Containers of the daemon."),
    "executions": (GAUGE, "", "Processes that Exec has announced and Delete has not removed."),
    "adopted_containers": (GAUGE, "", "Containers taken over from a daemon that died."),
    "requests": (COUNTER, "", "Requests that were answered."),
    "request_errors": (COUNTER, "", "Of them those that were answered by an error."),
    "request_seconds": (COUNTER, "seconds", "Time from request to answer, of all of them."),
    "request_longest_seconds": (GAUGE, "seconds", "Of the one that took longest."),
}


def collect(directory: str) -> tuple[list[Family], list[str]]:
    """(families, warnings); sockets of other shims, and of daemons that end, are passed over.

    Raises ``OciError`` when the directory cannot be read.
    """
    families = {
        name: Family(f"{PREFIX}_{name}" if name else PREFIX, *what)
        for name, what in FAMILIES.items()
    }
    warnings: list[str] = []
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        names = []  # there has been none since the machine was started
    except OSError as error:
        raise OciError(f"{directory}: {error.strerror}") from None
    for name in names:
        try:
            answer = call(f"{directory}/{name}", "Counts", m.EMPTY.encode({}))
            if answer is not None:
                _add(families, COUNTS.decode(answer))
        except (OciError, OSError, WireError) as error:
            warnings.append(f"{directory}/{name}: {error}")
    return list(families.values()), warnings


def _add(families: dict[str, Family], counts: dict[str, Any]) -> None:
    pid = str(counts["pid"])
    kind = "namespace" if counts["shared"] else "pod"
    about = {"namespace": counts["namespace"], "daemon": kind, "version": counts["version"]}
    families[""].add(1, pid=pid, **about)
    families["containers"].add(counts["containers"], pid=pid)
    families["executions"].add(counts["executions"], pid=pid)
    families["adopted_containers"].add(counts["adopted"], pid=pid)
    for entry in counts["requests"]:
        labels = {"pid": pid, "method": entry["method"]}
        families["requests"].add(entry["count"], **labels)
        families["request_errors"].add(entry["failed"], **labels)
        families["request_seconds"].add(entry["nanoseconds"] / NANOSECONDS, **labels)
        families["request_longest_seconds"].add(entry["longest"] / NANOSECONDS, **labels)

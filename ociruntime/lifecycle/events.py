"""events: what a container uses, and that its memory has run out (runc's extension of the
specification).
"""

from __future__ import annotations

import errno
import time
from select import POLLIN, poll

from ociruntime import hostos as os
from ociruntime.cgroups.oom import OomWatch
from ociruntime.cgroups.stats import stats
from ociruntime.errors import NOT_RUNNING, StateError, WrongStatus
from ociruntime.lifecycle.kill import saved_group
from ociruntime.state import status as st
from ociruntime.state.processes import open_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ociruntime.cgroups.group import Group
    from ociruntime.state.store import Container

    Event = dict[str, Any]

GONE = (errno.ENOENT, errno.ENODEV)


def statistics(container: Container) -> Event:
    """One event of type ``stats``. Raises ``WrongStatus``, ``StateError`` without a cgroup."""
    group = _group(container)
    try:
        return _event(container, "stats", stats(group))
    except OSError as error:
        if error.errno not in GONE:
            raise
        _refuse_removed(container, group)
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} has just ended") from None


def events(container: Container, interval: float) -> Iterator[Event]:
    """Statistics every ``interval`` seconds, and an event of type ``oom`` whenever memory has run
    out, until the container's process ends. Raises as ``statistics``.
    """
    group = _group(container)
    pidfd = open_process(container.data["pid"], container.data["start_time"])
    watch = OomWatch(group)
    poller = poll()
    try:
        if pidfd < 0:
            return
        poller.register(pidfd, POLLIN)
        if watch.fd >= 0:
            poller.register(watch.fd, watch.mask)
        due = time.monotonic() + interval
        while True:
            ready = {fd for fd, _ in poller.poll(max(0.0, due - time.monotonic()) * 1000)}
            if watch.happened():
                yield _event(container, "oom", None)
            if pidfd in ready:
                return
            if time.monotonic() >= due:
                due += interval
                try:
                    usage = stats(group)
                except OSError as error:
                    if error.errno in GONE:
                        _refuse_removed(container, group)
                        return
                    raise
                yield _event(container, "stats", usage)
    finally:
        watch.close()
        if pidfd >= 0:
            os.close(pidfd)


def _refuse_removed(container: Container, group: Group) -> None:
    """Raise ``StateError`` where the container goes on without its cgroup."""
    if st.status(container) == st.STOPPED:
        return
    gone = group.missing()
    if gone is not None:
        raise StateError(
            f"container {container.id}: its cgroup {gone.directory} was removed, so nobody counts "
            "what it uses"
        )


def _event(container: Container, kind: str, data: Event | None) -> Event:
    event: Event = {"type": kind, "id": container.id}
    return event if data is None else {**event, "data": data}


def _group(container: Container) -> Group:
    word = st.status(container)
    if word in (st.STOPPED, st.CREATING):
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")
    group = saved_group(container)
    if group is None:
        raise StateError(
            f"container {container.id} has no cgroup of its own, so nobody counts what it uses; "
            "create it with a cgroup that the caller may write"
        )
    return group

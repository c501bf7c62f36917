"""events: what a container uses, and that its memory has run out (runc's extension of the
specification).
"""

from __future__ import annotations

import errno
import time
from select import POLLIN, epoll

from ociruntime import hostos as os
from ociruntime.cgroups.oom import OomWatch
from ociruntime.cgroups.stats import stats
from ociruntime.errors import NOT_RUNNING, StateError, WrongStatus
from ociruntime.kernel.pids import open_process
from ociruntime.lifecycle.kill import saved_group
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from ociruntime.cgroups.group import Group
    from ociruntime.state.store import Container

    Event = dict[str, Any]

GONE = (errno.ENOENT, errno.ENODEV)


def statistics(container: Container) -> Event:
    """One event of type ``stats``. Raises ``WrongStatus``, ``StateError`` without a cgroup."""
    group = _group(container)
    try:
        return _event(container, "stats", usage(container, group))
    finally:
        group.close()


def usage(container: Container, group: Group, *, brief: bool = False) -> Event:
    """What a container that runs uses, by its cgroup: ``cgroups.stats.stats``. Raises
    ``WrongStatus`` when it has just ended, ``StateError`` when it goes on without its cgroup.
    """
    try:
        return stats(group, brief=brief)
    except OSError as error:
        if error.errno not in GONE:
            raise
        _refuse_removed(container, group)
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} has just ended") from None


def events(container: Container, interval: float) -> Iterator[Event]:
    """Statistics every ``interval`` seconds, and an event of type ``oom`` whenever memory has run
    out, until the container's process ends. Raises as ``statistics``.
    """
    with Source(container, interval) as source:
        while not source.ended:
            yield from source.collect(source.patience())


class Source:
    """The events of a container, for who waits himself: ``fileno`` is readable when memory may have
    run out or the container's process has ended. Close it, or use it as a context manager.
    """

    def __init__(self, container: Container, interval: float) -> None:
        self.container = container
        self.interval = interval
        self.group = _group(container)
        self._due = time.monotonic() + interval
        self._watch = OomWatch(self.group)
        self._pidfd = open_process(container.data["pid"], container.data["start_time"])
        # Of two descriptors one, which asks each for what its kind tells.
        self._epoll = epoll()
        self.ended = self._pidfd < 0
        if not self.ended:
            self._epoll.register(self._pidfd, POLLIN)
            if self._watch.fd >= 0:
                self._epoll.register(self._watch.fd, self._watch.mask)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor to be polled."""
        return self._epoll.fileno()

    def patience(self) -> float:
        """Seconds until the next statistics are due."""
        return max(0.0, self._due - time.monotonic())

    def collect(self, seconds: float) -> list[Event]:
        """What has happened, waiting for at most ``seconds``; afterwards ``ended`` says whether
        there will be more.
        """
        found = []
        ready = {fd for fd, _ in self._epoll.poll(seconds)}
        if self._watch.happened():
            found.append(_event(self.container, "oom", None))
        if self._pidfd in ready:
            self.ended = True
        elif time.monotonic() >= self._due:
            self._due += self.interval
            try:
                found.append(_event(self.container, "stats", stats(self.group)))
            except OSError as error:
                if error.errno not in GONE:
                    raise
                _refuse_removed(self.container, self.group)
                self.ended = True
        return found

    def close(self) -> None:
        """Stop watching."""
        self._epoll.close()
        self._watch.close()
        self.group.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pidfd = -1


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

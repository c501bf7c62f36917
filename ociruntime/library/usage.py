"""What a container uses, and who is in it, as data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ociruntime.cgroups.oom import kills
from ociruntime.errors import NotFound
from ociruntime.library.errors import PermissionDenied
from ociruntime.lifecycle.events import events, statistics
from ociruntime.lifecycle.kill import saved_group
from ociruntime.lifecycle.processes import processes
from ociruntime.state.ids import check_id
from ociruntime.state.store import Store

if TYPE_CHECKING:
    from ociruntime.state.store import Container

NANOSECONDS = 1e9
# v1 says "no limit" with the greatest multiple of a page, v2 with 2**64 - 1.
NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Stats:
    """What a container uses.

    time          when that was read, in UTC
    cpu_seconds   CPU time since its beginning
    memory        bytes in use; memory_limit and pids_limit are None for none
    pids          processes and threads
    read_bytes, written_bytes  what block devices were asked for
    oom_kills     processes that the kernel has killed for lack of memory
    pressure      per cent of the last ten seconds in which some process waited for ``cpu``,
                  ``memory`` or ``io``; only where the kernel counts it
    raw           everything, in the form of ``ociruntime events --stats``
    """

    time: datetime
    cpu_seconds: float
    memory: int
    memory_limit: int | None
    pids: int
    pids_limit: int | None
    read_bytes: int
    written_bytes: int
    oom_kills: int
    pressure: Mapping[str, float] = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Event:
    """Something that a container tells: ``kind`` is ``stats`` or ``oom`` (memory has run out)."""

    kind: str
    id: str
    time: datetime
    stats: Stats | None = None


@dataclass(frozen=True)
class ProcessInfo:
    """A process of a container: ``pid``, ``parent`` as this program sees them, ``uid`` on the host,
    ``args`` its command line, empty for one that has ended or hides it.
    """

    pid: int
    parent: int
    uid: int
    args: tuple[str, ...]


@dataclass(frozen=True)
class Attached:
    """An interface of a container on a network: ``network`` is its name, ``device`` that of the
    interface, ``addresses`` have prefix lengths, ``published`` is as ``publish``.
    """

    network: str
    device: str
    addresses: tuple[str, ...]
    published: tuple[str, ...]


@contextmanager
def opened(root: str, container_id: str) -> Iterator[Container]:
    """The container's state as it is stored. Raises ``NotFound``."""
    container = Store(root).open(check_id(container_id))
    try:
        if not container.data:
            raise NotFound(container_id)
        yield container
    finally:
        container.close()


def stats_of(root: str, container_id: str) -> Stats:
    """What the container uses now. Raises ``WrongStatus``, ``StateError``."""
    with opened(root, container_id) as container:
        return _stats(container, statistics(container)["data"])


def events_of(root: str, container_id: str, interval: float) -> Iterator[Event]:
    """Its events until its process ends."""
    with opened(root, container_id) as container:
        for found in events(container, interval):
            yield event(container, found)


def event(container: Container, found: Mapping[str, Any]) -> Event:
    """An event of ``lifecycle.events`` as a program gets it."""
    stats = _stats(container, found["data"]) if "data" in found else None
    return Event(found["type"], found["id"], stats.time if stats else _now(), stats)


def processes_of(root: str, container_id: str) -> list[ProcessInfo]:
    """Its processes, by pid. Raises ``WrongStatus``, ``OciError``."""
    with opened(root, container_id) as container:
        found = (_process(pid) for pid in processes(container))
        return [process for process in found if process is not None]


def networks_of(container_id: str) -> list[Attached]:
    """The networks that the container's hook has put it on. Raises ``PermissionDenied``."""
    from ociruntime.network.attachments import Attachments
    from ociruntime.network.report import describe

    try:
        entries = [describe(each, set()) for each in Attachments().of(container_id)]
    except PermissionError as error:
        raise PermissionDenied(f"networks are root's affair: {error}") from None
    return [
        Attached(
            entry["network"], entry["device"], tuple(entry["address"]), tuple(entry["published"])
        )
        for entry in entries
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _stats(container: Container, data: Mapping[str, Any]) -> Stats:
    memory, pids = data["memory"]["usage"], data["pids"]
    moved = {"Read": 0, "Write": 0}
    for entry in data["blkio"].get("ioServiceBytesRecursive", ()):
        if entry.get("op") in moved:
            moved[entry["op"]] += entry.get("value", 0)
    waits = {"cpu": "cpu", "memory": "memory", "io": "blkio"}
    psi = {name: data[section].get("psi", {}).get("some") for name, section in waits.items()}
    return Stats(
        time=_now(),
        cpu_seconds=data["cpu"]["usage"].get("total", 0) / NANOSECONDS,
        memory=memory.get("usage", 0),
        memory_limit=_limit(memory.get("limit", 0)),
        pids=pids.get("current", 0),
        pids_limit=_limit(pids.get("limit", 0)),
        read_bytes=moved["Read"],
        written_bytes=moved["Write"],
        oom_kills=_oom_kills(container),
        pressure={name: float(some["avg10"]) for name, some in psi.items() if some},
        raw=data,
    )


def _oom_kills(container: Container) -> int:
    group = saved_group(container)
    if group is None:
        return 0
    with closing(group):
        return kills(group)


def _limit(number: int) -> int | None:
    return number if 0 < number < NO_LIMIT else None


def _process(pid: int) -> ProcessInfo | None:
    """None for one that has just ended."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file if b":" in line)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read()
    except OSError:
        return None
    args = tuple(word.decode("utf-8", "surrogateescape") for word in text.split(b"\0")[:-1])
    return ProcessInfo(pid, int(lines[b"PPid"]), int(lines[b"Uid"].split()[0]), args)


def check_interval(given: object) -> float:
    """Seconds between two statistics."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"interval: give seconds, not {given!r}")
    if not 0 < given < float("inf"):
        raise ValueError(f"interval: {given!r}: give seconds, more than 0")
    return float(given)

"""What each container uses at one moment, and what it has used since another."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

from ociruntime.errors import OciError
from ociruntime.library.usage import Stats, stats_of
from ociruntime.state.status import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.state.store import Container, Store

UNITS = ("", "K", "M", "G", "T", "P")
STEP = 1024
# Columns of /proc/PID/net/dev (proc_pid_net(5)).
RECEIVED, SENT = 0, 8


@dataclass
class Row:
    """One container; rates are per second, ``cpu`` is per cent of one CPU."""

    id: str
    status: str
    cpu: float = 0.0
    read: float = 0.0
    written: float = 0.0
    received: float = 0.0
    sent: float = 0.0
    stats: Stats | None = None
    moved: dict[str, float] = field(default_factory=dict)

    def cells(self) -> list[str]:
        """The row as text, under COLUMNS."""
        stats = self.stats
        if stats is None:
            return [self.id, self.status, *["-"] * (len(COLUMNS) - 2)]
        limit = size(stats.memory_limit) if stats.memory_limit is not None else "-"
        pids = f"{stats.pids}/{stats.pids_limit}" if stats.pids_limit else str(stats.pids)
        pressure = " ".join(f"{stats.pressure[name]:.0f}" for name in stats.pressure) or "-"
        return [
            self.id,
            self.status,
            f"{self.cpu:.1f}",
            size(stats.memory),
            limit,
            pids,
            f"{size(self.read)}/{size(self.written)}",
            f"{size(self.received)}/{size(self.sent)}",
            str(stats.oom_kills),
            pressure,
        ]


COLUMNS = (
    "ID", "STATUS", "CPU %", "MEMORY", "LIMIT", "PIDS", "READ/WRITE", "NET IN/OUT", "OOM",
    "WAITS %",
)  # fmt: skip
# What rows can be sorted by; the greatest first, but for names.
ORDERS: dict[str, Callable[[Row], object]] = {
    "cpu": lambda row: -row.cpu,
    "memory": lambda row: -(row.stats.memory if row.stats else 0),
    "pids": lambda row: -(row.stats.pids if row.stats else 0),
    "io": lambda row: -(row.read + row.written),
    "network": lambda row: -(row.received + row.sent),
    "id": lambda row: row.id,
}


def take(store: Store, before: list[Row], order: str = "cpu") -> list[Row]:
    """A row for each container; rates since ``before``, 0 for those that are new."""
    known = {row.id: row for row in before}
    rows = []
    for container_id in store.ids():
        try:
            with closing(store.open(container_id)) as container:
                row = _row(store, container)
        except OciError:
            continue  # it is going
        _rate(row, known.get(container_id))
        rows.append(row)
    return sorted(rows, key=lambda row: (ORDERS[order](row), row.id))


def size(number: float) -> str:
    """``4.5M`` for 4718592."""
    for unit in UNITS:
        if number < STEP or unit == UNITS[-1]:
            break
        number /= STEP
    return f"{number:.0f}{unit}" if number >= 10 or not unit else f"{number:.1f}{unit}"


def _row(store: Store, container: Container) -> Row:
    word = status(container)
    row = Row(container.id, word)
    if word in ("created", "running", "paused"):
        try:
            row.stats = stats_of(store.root, container.id)
        except OciError:
            return row  # it has no cgroup, or has just ended
        received, sent = _network(container.data["pid"])
        row.moved = {
            "cpu": row.stats.cpu_seconds * 100,
            "read": row.stats.read_bytes,
            "written": row.stats.written_bytes,
            "received": received,
            "sent": sent,
        }
    return row


def _rate(row: Row, before: Row | None) -> None:
    if before is None or row.stats is None or before.stats is None:
        return
    seconds = (row.stats.time - before.stats.time).total_seconds()
    if seconds > 0:
        for name, value in row.moved.items():
            setattr(row, name, max(0.0, (value - before.moved[name]) / seconds))


def _network(pid: int) -> tuple[int, int]:
    """Bytes that a process's network namespace has received and sent, but for its loopback."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")[2:]
    except OSError:
        return 0, 0
    columns = [
        line.rpartition(":")[2].split() for line in lines if not line.strip().startswith("lo:")
    ]
    received = sum(int(numbers[RECEIVED]) for numbers in columns if len(numbers) > SENT)
    return received, sum(int(numbers[SENT]) for numbers in columns if len(numbers) > SENT)

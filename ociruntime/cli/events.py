"""ociruntime events [--stats] [--interval TIME] [--format json|openmetrics] ID"""

from __future__ import annotations

from ociruntime.arguments import FLAG, VALUE, one_argument, parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.jsontext import to_bytes
from ociruntime.lifecycle.events import events, statistics
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals
    from ociruntime.state.store import Container

OPTIONS = {"stats": FLAG, "interval": VALUE, "format": VALUE}
FORMATS = ("json", "openmetrics")
DEFAULT_INTERVAL = "5s"
# Go's units of time, which runc's callers write.
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
SHORTEST = 0.001


def main(words: list[str], globals_: Globals) -> int:
    """Print events, one JSON object a line, until the container ends."""
    options = parse(words, OPTIONS, {}, stop_at_argument=False, command="events")
    container_id = check_id(one_argument(options, "events"))
    form = options.text("format") or "json"
    if form not in FORMATS:
        raise UsageError(f"events: --format {form}: use json or openmetrics")
    interval = seconds(options.text("interval") or DEFAULT_INTERVAL)
    container = globals_.store.open(container_id)
    found = [statistics(container)] if options.flag("stats") else events(container, interval)
    for event in found:
        say(to_bytes(event) + b"\n" if form == "json" else _as_metrics(container))
    return 0


def _as_metrics(container: Container) -> bytes:
    """One exposition of what the container uses now."""
    from ociruntime.metrics.collect import Collection
    from ociruntime.metrics.exposition import exposition

    collection = Collection()
    collection.add(container)
    return exposition(collection.families).encode()


def seconds(text: str) -> float:
    """A positive time such as ``5s``, ``1m30s``, ``1.5h`` or ``500ms`` in seconds; raises
    ``UsageError``.
    """
    total, rest = 0.0, text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        letters = len(rest) - len(rest.lstrip("hmnsuµ"))
        unit, rest = rest[:letters], rest[letters:]
        if unit not in UNITS or not number.replace(".", "", 1).isdecimal():
            raise UsageError(f"events: --interval {text}: not a time; write 5s, 500ms or 1m30s")
        total += float(number) * UNITS[unit]
    if total < SHORTEST:
        raise UsageError(f"events: --interval {text}: must be greater than 0; write 5s or 500ms")
    return total

"""A trace file as rows on one clock, for the drawings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ociruntime.errors import OciError

LARGEST = 64 << 20  # bytes


@dataclass
class Span:
    """One bar: microseconds from the beginning of the trace, and how many others it lies in."""

    name: str
    category: str
    pointer: str
    error: str
    begin: float
    duration: float
    depth: int = 0


@dataclass
class Track:
    """What one process did, by time."""

    name: str
    pid: int
    spans: list[Span] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many rows its nested bars need."""
        return 1 + max((span.depth for span in self.spans), default=-1)


@dataclass
class Chart:
    """``duration`` of the whole in microseconds; tracks in the order in which they begin."""

    title: str
    duration: float
    tracks: list[Track]


def read_chart(path: str) -> Chart:
    """Read what --trace has written. Raises ``OciError``."""
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise OciError(f"trace: {path}: {error.strerror}") from None
    if len(raw) > LARGEST:
        raise OciError(f"trace: {path}: more than {LARGEST >> 20} MiB; it is no trace of a command")
    try:
        return make_chart(json.loads(raw))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise OciError(
            f"trace: {path}: not a trace; `ociruntime --trace FILE COMMAND ...` writes one"
        ) from None


def make_chart(document: dict[str, Any]) -> Chart:
    """The chart of a document as schemas/trace.json has it."""
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    names = {
        (event["pid"], event["tid"]): str(event["args"]["name"])
        for event in document["traceEvents"]
        if event["ph"] == "M"
    }
    if not events:
        raise ValueError("no events")
    origin = min(event["ts"] for event in events)
    tracks: dict[tuple[int, int], Track] = {}
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        key = event["pid"], event["tid"]
        track = tracks.setdefault(key, Track(names.get(key, str(key[1])), key[0]))
        arguments = event["args"]
        track.spans.append(
            Span(
                str(event["name"]),
                str(event["cat"]),
                str(arguments.get("pointer", "")),
                str(arguments.get("error", "")),
                event["ts"] - origin,
                float(event["dur"]),
            )
        )
    for track in tracks.values():
        _nest(track.spans)
    duration = max(span.begin + span.duration for t in tracks.values() for span in t.spans)
    command = " ".join(["ociruntime", *map(str, document["otherData"]["arguments"])])
    return Chart(command, max(duration, 0.001), list(tracks.values()))


def _nest(spans: list[Span]) -> None:
    """Set the depths of spans that are sorted by their beginnings."""
    around: list[Span] = []
    for span in spans:
        # Neighbours touch; their moments are whole nanoseconds, but the numbers are fractions.
        while around and around[-1].begin + around[-1].duration < span.begin + 0.0005:
            around.pop()
        span.depth = len(around)
        around.append(span)


def in_words(microseconds: float) -> str:
    """A duration with three figures: ``12.3 ms``."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return (
                f"{microseconds / size:.3g} {unit}"
                if microseconds < 1e3 * size
                else (f"{microseconds / size:.0f} {unit}")
            )
    return f"{microseconds:.3g} µs"

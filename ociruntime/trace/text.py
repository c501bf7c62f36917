"""A trace in the terminal: one line a span, its bar where it lies in time."""

from __future__ import annotations

from unicodedata import east_asian_width

from ociruntime.trace.chart import in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.trace.chart import Chart, Span

# Of the whole: what is shorter is counted instead of drawn.
SHORT = 1 / 400
DURATION = 8
INDENT = 2
NAMES = 0.5
# Parts of a column, in eighths.
EIGHTHS = " ▏▎▍▌▋▊▉█"


def draw_text(chart: Chart, width: int, *, everything: bool) -> str:
    """The drawing, ``width`` columns wide; without ``everything`` only what is long enough."""
    bars = int((width - DURATION - 2) * (1 - NAMES))
    names = width - bars - DURATION - 2
    lines = [f"{chart.title}: {in_words(chart.duration)}"]
    hidden = 0
    for track in chart.tracks:
        lines.append(f"{track.name} {track.pid}")
        for span in track.spans:
            if not everything and not span.error and span.duration < chart.duration * SHORT:
                hidden += 1
                continue
            head = fit(" " * (INDENT * (span.depth + 1)) + span.name, names)
            line = f"{head} {in_words(span.duration):>{DURATION}} {_bar(chart, span, bars)}"
            lines.append(line.rstrip())
            if span.error:
                lines.append(" " * (INDENT * (span.depth + 2)) + f"failed: {span.error}")
    if hidden:
        least = in_words(chart.duration * SHORT)
        lines.append(f"{hidden} spans below {least} are not shown; --all shows them")
    return "\n".join(lines) + "\n"


def _bar(chart: Chart, span: Span, columns: int) -> str:
    """The bar in whole columns to the left and eighths to the right; never nothing."""
    begin = min(int(span.begin / chart.duration * columns), columns - 1)
    eighths = round(span.duration / chart.duration * columns * 8)
    eighths = max(1, min(eighths, (columns - begin) * 8))
    whole, part = divmod(eighths, 8)
    return " " * begin + EIGHTHS[8] * whole + (EIGHTHS[part] if part else "")


def fit(text: str, columns: int) -> str:
    """``text`` in exactly so many columns of a terminal, cut with an ellipsis if need be."""
    if _columns(text) > columns:
        while _columns(text) > columns - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (columns - _columns(text))


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)

"""A trace as a picture: one SVG file that needs nothing else.

Time runs to the right, a process is a band, and each span has a row with its whole name beside its
bar; short ones that follow each other share a row. Name, duration, JSON pointer and error of each
are its tooltip.
"""

from __future__ import annotations

import textwrap
from html import escape

from ociruntime.trace.chart import in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.trace.chart import Chart, Span, Track

WIDTH, MARGIN = 1200, 12
ROW, LINE, BAND_HEAD, TOP = 19, 14, 24, 46
# Of a letter at most, in the fonts that a browser takes for the style below.
LETTER = 6.9
SPACE = 5
LEAST_BAR = 0.7
# Of the whole: what is shorter shares its row with its neighbours.
SHORT = 1 / 150
TICKS = 8
COLOURS = {"step": "#3c78b4", "phase": "#8a8f98", "stage": "#b4783c"}
FAILED = "#b43c3c"
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #222; pointer-events: none }
text.in { fill: #fff }
text.head { font-weight: 600 }
text.failed { fill: #b43c3c }
.tick { stroke: #8884; stroke-width: 1 }
.paper { fill: #fff }
@media (prefers-color-scheme: dark) {
.paper { fill: #16181d } text { fill: #ddd } text.failed { fill: #f08080 } }
"""


def draw_svg(chart: Chart) -> str:
    """The picture."""
    parts: list[str] = []
    top = float(TOP)
    for track in chart.tracks:
        parts.append(_words(MARGIN, top + 15, f"{track.name} {track.pid}", "head"))
        top += BAND_HEAD
        for spans in _rows(chart, track):
            drawn, height = _row(chart, spans, top)
            parts += drawn
            top += height
    height = top + MARGIN
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_text(chart.title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>',
        _words(MARGIN, 18, f"{in_words(chart.duration)}: {chart.title}", "head"),
        *_axis(chart, height),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _rows(chart: Chart, track: Track) -> list[list[Span]]:
    """The spans that share a row, by time."""
    rows: list[list[Span]] = []
    open_row = False
    for span in track.spans:
        short = span.duration < chart.duration * SHORT and not span.error
        if short and open_row:
            rows[-1].append(span)
        else:
            rows.append([span])
        open_row = short
    return rows


def _row(chart: Chart, spans: list[Span], top: float) -> tuple[list[str], float]:
    """Bars and words of one row, and its height."""
    parts = [_bar(chart, span, top) for span in spans]
    begin = _x(chart, spans[0].begin)
    end = max(_x(chart, span.begin) + _length(chart, span) for span in spans)
    words = _label(spans)
    kind = "failed" if spans[0].error else ""
    # Behind the bar, in it, or before it, where the words have most room; in lines if need be.
    behind, before = WIDTH - MARGIN - end - SPACE, begin - SPACE - MARGIN
    inside = (end - begin - 2 * SPACE) if len(spans) == 1 else 0
    needed = len(words) * LETTER
    if behind >= needed or behind >= max(inside, before):
        lines, x, anchor = _lines(words, behind), end + SPACE, "start"
    elif inside >= needed or inside >= before:
        lines, x, anchor, kind = _lines(words, inside), begin + SPACE, "start", "in"
    else:
        lines, x, anchor = _lines(words, before), begin - SPACE, "end"
    if kind == "in" and len(lines) > 1:  # a bar has room for one line
        parts = [_bar(chart, spans[0], top, ROW - 2 + (len(lines) - 1) * LINE)]
    parts += [
        _words(x, top + 13 + number * LINE, line, kind, anchor) for number, line in enumerate(lines)
    ]
    return parts, ROW + (len(lines) - 1) * LINE


def _label(spans: list[Span]) -> str:
    """What is said beside the bars of a row."""
    if len(spans) == 1:
        (span,) = spans
        step = "step: " if span.category == "step" else ""
        failed = f" failed: {span.error}" if span.error else ""
        return f"{step}{span.name}: {_whole(span.duration)}{failed}"
    least = min(span.depth for span in spans)
    steps = sum(span.category == "step" for span in spans)
    kind = f", {steps} of them steps" if 0 < steps < len(spans) else ""
    name = "steps" if steps == len(spans) else "spans"
    time = _whole(sum(span.duration for span in spans if span.depth == least))
    return f"{len(spans)} short {name}{kind}: {time}"


def _whole(microseconds: float) -> str:
    """A duration that no line breaks."""
    return in_words(microseconds).replace(" ", "\N{NO-BREAK SPACE}")


def _lines(words: str, room: float) -> list[str]:
    """``words`` in lines that fit."""
    return textwrap.wrap(words, max(8, int(room / LETTER)))


def _axis(chart: Chart, height: float) -> list[str]:
    step = tick_length(chart.duration)
    parts = []
    for number in range(int(chart.duration / step) + 1):
        x = _x(chart, number * step)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="36" y2="{height:.0f}"/>')
        label = in_words(number * step) if number else "0"
        if x + 2 + len(label) * LETTER < WIDTH:
            parts.append(_words(x + 2, 34, label))
    return parts


def tick_length(duration: float) -> float:
    """1, 2 or 5 times a power of ten microseconds, so that there are at most ``TICKS``."""
    length = 0.001
    factors = (2, 2.5, 2)
    turn = 0
    while duration / length > TICKS:
        length *= factors[turn % 3]
        turn += 1
    return length


def _x(chart: Chart, moment: float) -> float:
    return MARGIN + moment / chart.duration * (WIDTH - 2 * MARGIN)


def _length(chart: Chart, span: Span) -> float:
    return max(LEAST_BAR, span.duration / chart.duration * (WIDTH - 2 * MARGIN))


def _bar(chart: Chart, span: Span, top: float, height: float = ROW - 2) -> str:
    colour = FAILED if span.error else COLOURS.get(span.category, COLOURS["phase"])
    notes = [f"{span.name}: {in_words(span.duration)}", span.pointer, span.error]
    title = _text("\n".join(note for note in notes if note))
    return (
        f'<rect x="{_x(chart, span.begin):.2f}" y="{top:.0f}" width="{_length(chart, span):.2f}"'
        f' height="{height}" rx="2" fill="{colour}"><title>{title}</title></rect>'
    )


def _words(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    kinds = f' class="{kind}"' if kind else ""
    anchors = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.0f}"{kinds}{anchors}>{_text(text)}</text>'


def _text(text: str) -> str:
    """``text`` for XML, which has no control characters."""
    kept = "\n\N{NO-BREAK SPACE}"
    return escape("".join(char if char.isprintable() or char in kept else "?" for char in text))

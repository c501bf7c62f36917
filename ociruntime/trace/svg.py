"""A trace as a picture: one SVG file that needs nothing else.

Time runs to the right, a process is a band, nested spans lie below one another; the name, duration
and JSON pointer of each is its tooltip.
"""

from __future__ import annotations

from html import escape

from ociruntime.trace.chart import in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.trace.chart import Chart, Span

WIDTH, MARGIN = 1200, 12
ROW, BAND_HEAD, TOP = 20, 22, 46
LETTER = 7.0
LEAST_BAR = 0.7
TICKS = 8
COLOURS = {"step": "#3c78b4", "phase": "#8a8f98", "stage": "#b4783c"}
FAILED = "#b43c3c"
LEGEND = (
    ("step of the plan", COLOURS["step"]),
    ("around the steps", COLOURS["phase"]),
    ("oci-init", COLOURS["stage"]),
    ("failed", FAILED),
)
LEGEND_WIDTH = 118
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #222 }
.in { fill: #fff; pointer-events: none }
.head { font-weight: 600 }
.tick { stroke: #8884; stroke-width: 1 }
.paper { fill: #fff }
@media (prefers-color-scheme: dark) { .paper { fill: #16181d } text { fill: #ddd } }
"""


def draw_svg(chart: Chart) -> str:
    """The picture."""
    height = TOP + sum(BAND_HEAD + ROW * track.depth for track in chart.tracks) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{_text(chart.title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        _words(MARGIN, 18, _headline(chart), "head"),
        *_legend(),
        *_axis(chart, height),
    ]
    top = TOP
    for track in chart.tracks:
        parts.append(_words(MARGIN, top + 15, f"{track.name} {track.pid}", "head"))
        top += BAND_HEAD
        parts += [_bar(chart, span, top + span.depth * ROW) for span in track.spans]
        top += ROW * track.depth
    return "\n".join([*parts, "</svg>"]) + "\n"


def _headline(chart: Chart) -> str:
    """The command, cut where the legend begins, and how long it took."""
    duration = f": {in_words(chart.duration)}"
    room = int((WIDTH - 3 * MARGIN - len(LEGEND) * LEGEND_WIDTH) / LETTER) - len(duration)
    title = chart.title if len(chart.title) <= room else chart.title[: room - 1] + "…"
    return title + duration


def _legend() -> list[str]:
    parts = []
    for number, (name, colour) in enumerate(reversed(LEGEND), 1):
        x = WIDTH - MARGIN - number * LEGEND_WIDTH
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" rx="2" fill="{colour}"/>')
        parts.append(_words(x + 16, 18, name))
    return parts


def _axis(chart: Chart, height: int) -> list[str]:
    step = tick_length(chart.duration)
    parts = []
    for number in range(int(chart.duration / step) + 1):
        x = _x(chart, number * step)
        parts.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="36" y2="{height}"/>')
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


def _bar(chart: Chart, span: Span, y: int) -> str:
    x = _x(chart, span.begin)
    width = max(LEAST_BAR, span.duration / chart.duration * (WIDTH - 2 * MARGIN))
    colour = FAILED if span.error else COLOURS.get(span.category, COLOURS["phase"])
    notes = [f"{span.name}: {in_words(span.duration)}", span.pointer, span.error]
    title = _text("\n".join(note for note in notes if note))
    part = (
        f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 2}" rx="2" fill="{colour}">'
        f"<title>{title}</title></rect>"
    )
    letters = int((width - 6) / LETTER)
    if letters >= 4:
        name = span.name if len(span.name) <= letters else span.name[: letters - 1] + "…"
        part += _words(x + 3, y + 13, name, "in")
    return part


def _words(x: float, y: float, text: str, kind: str = "") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{kinds}>{_text(text)}</text>'


def _text(text: str) -> str:
    """``text`` for XML, which has no control characters."""
    return escape("".join(char if char.isprintable() or char == "\n" else "?" for char in text))

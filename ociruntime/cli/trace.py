"""ociruntime trace [--svg OUT] [--otlp OUT] [--all] [--width COLUMNS] FILE"""

from __future__ import annotations

import os

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import OciError, UsageError
from ociruntime.trace.chart import read_chart
from ociruntime.trace.svg import draw_svg
from ociruntime.trace.text import draw_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"svg": VALUE, "otlp": VALUE, "width": VALUE, "all": FLAG}
ALIASES: dict[str, str] = {}
DEFAULT_WIDTH, LEAST_WIDTH = 100, 60


def main(words: list[str], globals_: Globals) -> int:
    """Draw a trace in the terminal, or as a picture with --svg."""
    del globals_
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="trace")
    if len(options.arguments) != 1:
        raise UsageError("trace: wants one file, as `ociruntime --trace FILE run ...` writes it")
    if options.text("otlp"):
        from ociruntime.trace.otlp import convert

        _write("--otlp", options.text("otlp") or "", convert(options.arguments[0]))
    chart = read_chart(options.arguments[0])
    out = options.text("svg")
    if out is None and options.text("otlp"):
        return 0
    if out is None:
        width = max(LEAST_WIDTH, options.number("width") or _columns())
        text = draw_text(chart, width, everything=options.flag("all"))
        say(text.encode("utf-8", "backslashreplace"))
        return 0
    _write("--svg", out, draw_svg(chart))
    return 0


def _write(option: str, path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise OciError(f"trace: {option} {path}: {error.strerror}") from None


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return DEFAULT_WIDTH  # a pipe or a file

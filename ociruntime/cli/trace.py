"""ociruntime trace [--svg OUT] [--all] [--width COLUMNS] FILE"""

from __future__ import annotations

import os

from ociruntime.cli.options import FLAG, VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import OciError, UsageError
from ociruntime.trace.chart import read_chart
from ociruntime.trace.svg import draw_svg
from ociruntime.trace.text import draw_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"svg": VALUE, "width": VALUE, "all": FLAG}
ALIASES: dict[str, str] = {}
DEFAULT_WIDTH, LEAST_WIDTH = 100, 60


def main(words: list[str], globals_: Globals) -> int:
    """Draw a trace in the terminal, or as a picture with --svg."""
    del globals_
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="trace")
    if len(options.arguments) != 1:
        raise UsageError("trace: wants one file, as `ociruntime --trace FILE run ...` writes it")
    chart = read_chart(options.arguments[0])
    out = options.text("svg")
    if out is None:
        width = max(LEAST_WIDTH, options.number("width") or _columns())
        text = draw_text(chart, width, everything=options.flag("all"))
        say(text.encode("utf-8", "backslashreplace"))
        return 0
    try:
        with open(out, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(draw_svg(chart))
    except OSError as error:
        raise OciError(f"trace: --svg {out}: {error.strerror}") from None
    return 0


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return DEFAULT_WIDTH  # a pipe or a file

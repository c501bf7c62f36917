"""ociruntime top [--interval TIME] [--sort ORDER] [--once]"""

from __future__ import annotations

import os
import time

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.events import seconds
from ociruntime.cli.output import say
from ociruntime.errors import OciError, UsageError, one_line
from ociruntime.screen import columns
from ociruntime.top.sample import COLUMNS, ORDERS, Row, take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"interval": VALUE, "sort": VALUE, "once": FLAG}
ALIASES: dict[str, str] = {}
DEFAULT_INTERVAL = "2s"
# Seconds between the two looks that rates come out of, for a single table.
BETWEEN = 0.2
GAP = "  "


def main(words: list[str], globals_: Globals) -> int:
    """Show what all containers use: live on a terminal, else as one table."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="top")
    if options.arguments:
        raise UsageError("top: takes no arguments; it shows all containers under --root")
    order = options.text("sort") or next(iter(ORDERS))
    if order not in ORDERS:
        raise UsageError(f"top: --sort {order}: use {', '.join(ORDERS)}")
    interval = seconds(options.text("interval") or DEFAULT_INTERVAL)
    if not options.flag("once") and os.isatty(0) and os.isatty(1):
        return _live(globals_, interval)
    before = take(globals_.store, [], order)
    if before:
        time.sleep(BETWEEN)
    rows = take(globals_.store, before, order)
    say(table(rows, columns()).encode("utf-8", "backslashreplace"))
    return 0


def table(rows: list[Row], width: int) -> str:
    """Aligned columns under a header; numbers to the right. Closer together where that makes lines
    fit into ``width``; ids are never cut.
    """
    lines = [list(COLUMNS), *([one_line(cell) for cell in row.cells()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    text = []
    gap = GAP if sum(widths) + len(GAP) * (len(widths) - 1) <= width else " "
    for line in lines:
        cells = [
            cell.ljust(length) if column < 2 else cell.rjust(length)
            for column, (cell, length) in enumerate(zip(line, widths, strict=True))
        ]
        text.append(gap.join(cells).rstrip() + "\n")
    return "".join(text)


def installs_textual(package: str) -> str:
    """The command that puts textual where this installation looks for it.

    ``package`` is the directory of our modules: of a virtual environment, of Debian's, of `make
    install`, which has a directory to itself, or of a checkout.
    """
    home = os.path.dirname(package)
    for pip in (f"{home}/../../../bin/pip", f"{home}/.venv/bin/pip"):
        if os.path.exists(pip):
            return f"{os.path.normpath(pip)} install 'textual>=1.0'"
    if os.path.basename(home) == "dist-packages":
        return "sudo apt-get install -y python3-textual (1.0 or newer)"
    return f"sudo pip install --target {home} 'textual>=1.0'"


def _live(globals_: Globals, interval: float) -> int:
    try:
        from ociruntime.top.app import Top
    except ImportError:
        cure = installs_textual(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        raise OciError(
            f"top: the live table needs Python's textual: {cure}; or use --once"
        ) from None
    from ociruntime.cli.plan import stored
    from ociruntime.plan.explain import as_text, heading
    from ociruntime.screen import Screen

    def plan(container_id: str, width: int) -> str:
        planned = stored(container_id, globals_)
        title = heading(f"create {container_id}", planned.plan.steps, planned.host)
        return as_text(title, planned.plan.steps, planned.plan.warnings, Screen(width))

    Top(globals_.store, interval, plan).run()
    return 0

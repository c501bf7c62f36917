"""ociruntime metrics [--shims DIRECTORY]"""

from __future__ import annotations

from ociruntime.arguments import VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.metrics.collect import collect
from ociruntime.metrics.exposition import exposition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"shims": VALUE}


def main(words: list[str], globals_: Globals) -> int:
    """Print what all containers under --root use, and what daemons of the shim count, as
    OpenMetrics text.
    """
    options = parse(words, OPTIONS, {}, stop_at_argument=False, command="metrics")
    if options.arguments:
        raise UsageError("metrics: takes no arguments; it tells of all containers under --root")
    families, warnings = collect(globals_.store)
    directory = options.text("shims")
    if directory:
        from ociruntime.cli import shims

        daemons, more = shims.collect(directory)
        families += daemons
        warnings += more
    for warning in warnings:
        globals_.log.warning(warning)
    say(exposition(families).encode())
    return 0

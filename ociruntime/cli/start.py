"""ociruntime start ID"""

from __future__ import annotations

from ociruntime.cli.options import one_argument, parse
from ociruntime.lifecycle.start import start
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals


def main(words: list[str], globals_: Globals) -> int:
    """Execute the program of a created container."""
    options = parse(words, {}, {}, stop_at_argument=False, command="start")
    container = globals_.store.open_locked(check_id(one_argument(options, "start")))
    for warning in start(container):
        globals_.log.warning(warning)
    return 0

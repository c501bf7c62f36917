"""ociruntime pause ID"""

from __future__ import annotations

from ociruntime.arguments import one_argument, parse
from ociruntime.lifecycle.pause import pause
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals


def main(words: list[str], globals_: Globals) -> int:
    """Freeze every process of a container."""
    options = parse(words, {}, {}, stop_at_argument=False, command="pause")
    pause(globals_.store.open_locked(check_id(one_argument(options, "pause"))))
    return 0

"""ociruntime resume ID"""

from __future__ import annotations

from ociruntime.arguments import one_argument, parse
from ociruntime.lifecycle.pause import resume
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals


def main(words: list[str], globals_: Globals) -> int:
    """Let a paused container go on."""
    options = parse(words, {}, {}, stop_at_argument=False, command="resume")
    resume(globals_.store.open_locked(check_id(one_argument(options, "resume"))))
    return 0

"""ociruntime kill [--all] ID [SIGNAL], or with --regex PATTERN instead of the id."""

from __future__ import annotations

from ociruntime.arguments import FLAG, parse
from ociruntime.errors import UsageError
from ociruntime.lifecycle.kill import kill, parse_signal
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"all": FLAG, "regex": FLAG}
ALIASES = {"a": "all", "r": "regex"}
DEFAULT_SIGNAL = "TERM"


def main(words: list[str], globals_: Globals) -> int:
    """Send a signal to the container's process, TERM unless another is named."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="kill")
    arguments = options.arguments
    if not 1 <= len(arguments) <= 2:
        raise UsageError("kill: wants a container id and at most one signal")
    number = parse_signal(arguments[1] if len(arguments) == 2 else DEFAULT_SIGNAL)

    def act(container_id: str) -> None:
        kill(globals_.store.open(container_id), number, everything=options.flag("all"))

    if options.flag("regex"):
        from ociruntime.cli.matching import for_each

        return for_each(globals_, arguments[0], act, "kill")
    act(check_id(arguments[0]))
    return 0

"""ociruntime kill [--all] ID [SIGNAL]"""

from __future__ import annotations

from ociruntime.cli.options import FLAG, parse
from ociruntime.errors import UsageError
from ociruntime.lifecycle.kill import kill, parse_signal
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"all": FLAG}
ALIASES = {"a": "all"}
DEFAULT_SIGNAL = "TERM"


def main(words: list[str], globals_: Globals) -> int:
    """Send a signal to the container's process, TERM unless another is named."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="kill")
    arguments = options.arguments
    if not 1 <= len(arguments) <= 2:
        raise UsageError("kill: wants a container id and at most one signal")
    container_id = check_id(arguments[0])
    number = parse_signal(arguments[1] if len(arguments) == 2 else DEFAULT_SIGNAL)
    kill(globals_.store.open(container_id), number, everything=options.flag("all"))
    return 0

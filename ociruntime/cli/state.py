"""ociruntime state ID"""

from __future__ import annotations

from ociruntime.arguments import one_argument, parse
from ociruntime.cli.output import say
from ociruntime.errors import StateError
from ociruntime.jsontext import to_bytes
from ociruntime.state.document import state_document
from ociruntime.state.ids import check_id
from ociruntime.state.status import pid_of, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals


def main(words: list[str], globals_: Globals) -> int:
    """Print the state document as JSON."""
    options = parse(words, {}, {}, stop_at_argument=False, command="state")
    container = globals_.store.open(check_id(one_argument(options, "state")))
    if not container.data:
        raise StateError(
            f"container {container.id} has no state: its creation has just begun or was cut short; "
            f"`ociruntime delete --force {container.id}` removes it"
        )
    word = status(container)
    document = state_document(container, word, pid_of(container, word))
    say(to_bytes(document, 2) + b"\n")
    return 0

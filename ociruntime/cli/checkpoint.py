"""ociruntime checkpoint [options] ID"""

from __future__ import annotations

from ociruntime.arguments import one_argument, parse
from ociruntime.checkpoint.dump import checkpoint
from ociruntime.checkpoint.options import CHECKPOINT as OPTIONS
from ociruntime.checkpoint.options import CheckpointOptions
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

ALIASES: dict[str, str] = {}

__all__ = ["ALIASES", "OPTIONS", "main"]


def main(words: list[str], globals_: Globals) -> int:
    """Write a container's processes into files, and remove it unless it is to go on."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="checkpoint")
    container_id = check_id(one_argument(options, "checkpoint"))
    wanted = CheckpointOptions(options)
    container = globals_.store.open_locked(container_id)
    try:
        for warning in checkpoint(container, wanted, globals_.criu):
            globals_.log.warning(warning)
    finally:
        container.close()
    return 0

"""ociruntime delete [--force] ID, or with --regex PATTERN instead of the id."""

from __future__ import annotations

from ociruntime.cli.options import FLAG, one_argument, parse
from ociruntime.errors import NotFound
from ociruntime.lifecycle.delete import delete
from ociruntime.state.ids import check_id
from ociruntime.state.store import DamagedStateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"force": FLAG, "regex": FLAG}
ALIASES = {"f": "force", "r": "regex"}


def main(words: list[str], globals_: Globals) -> int:
    """Remove a container; with --force whatever its state, and silently when there is none."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="delete")
    name = one_argument(options, "delete")
    force = options.flag("force")
    if options.flag("regex"):
        from ociruntime.cli.matching import for_each

        return for_each(
            globals_, name, lambda found: _delete(globals_, found, force=force), "delete"
        )
    _delete(globals_, check_id(name), force=force)
    return 0


def _delete(globals_: Globals, container_id: str, *, force: bool) -> None:
    try:
        container = globals_.store.open_locked(container_id)
    except NotFound:
        if force:
            return
        raise
    except DamagedStateError as error:
        if not force:
            raise
        # Nothing says any more what it had: at least the id becomes free.
        globals_.log.warning(str(error))
        globals_.store.discard(container_id)
        return
    for warning in delete(container, force=force):
        globals_.log.warning(warning)

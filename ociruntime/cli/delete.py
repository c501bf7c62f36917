"""ociruntime delete [--force] ID, or with --regex PATTERN instead of the id."""

from __future__ import annotations

from ociruntime.arguments import FLAG, one_argument, parse
from ociruntime.errors import NotFound
from ociruntime.lifecycle.delete import delete, delete_by_force
from ociruntime.state.ids import check_id

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
        if force:
            warnings = delete_by_force(globals_.store, container_id)
        else:
            warnings = delete(globals_.store.open_locked(container_id))
    except NotFound:
        if not force:
            raise
        return
    for warning in warnings:
        globals_.log.warning(warning)

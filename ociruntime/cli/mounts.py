"""ociruntime mounts add|remove ID FILE"""

from __future__ import annotations

from ociruntime.arguments import parse as parse_words
from ociruntime.bundle import parse, read_all, read_file
from ociruntime.errors import SpecError, UsageError
from ociruntime.lifecycle.livemounts import add, remove
from ociruntime.state.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.cli.main import Globals
    from ociruntime.spec.documents import MountConfig

USAGE = "mounts: wants `add` or `remove`, a container id and a file (- for standard input)"
STDIN = "-"
OPTIONS: dict[str, str] = {}
ALIASES: dict[str, str] = {}


def main(words: list[str], globals_: Globals) -> int:
    """Mount and unmount in a running container."""
    options = parse_words(words, OPTIONS, ALIASES, stop_at_argument=False, command="mounts")
    if len(options.arguments) != 3 or options.arguments[0] not in ("add", "remove"):
        raise UsageError(USAGE)
    verb, name, file = options.arguments
    container_id = check_id(name)
    entries, source = read_entries(file)
    container = globals_.store.open_locked(container_id)
    if verb == "remove":
        remove(container, entries)
        return 0
    for warning in add(container, entries, source):
        globals_.log.warning(warning)
    return 0


def read_entries(file: str) -> tuple[list[MountConfig], str]:
    """(the mounts in ``file``, what errors call it): a JSON array as config.json's ``mounts``.
    Raises ``SpecError``.
    """
    source = "standard input" if file == STDIN else file
    found = parse(read_all(0, source) if file == STDIN else read_file(file), source, null=False)
    if not isinstance(found, list):
        raise SpecError(f"{source}: the mounts are not a JSON array; it must begin with '['")
    for index, entry in enumerate(found):
        if not isinstance(entry, dict) or not isinstance(entry.get("destination"), str):
            raise SpecError(f"{source}: /{index}: it is no mount with a destination")
    return found, source

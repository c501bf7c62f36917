"""ociruntime list [--quiet] [--format table|json]"""

from __future__ import annotations

import time
from fcntl import LOCK_NB, LOCK_SH, flock

from ociruntime import hostos as os
from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import NotFound, OciError, StateError, UsageError, one_line
from ociruntime.jsontext import dumps
from ociruntime.state.document import state_document
from ociruntime.state.ids import check_id
from ociruntime.state.status import pid_of, status
from ociruntime.state.store import DamagedStateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ociruntime.cli.main import Globals
    from ociruntime.state.store import Container, Store
    from ociruntime.state.stored import ReportedState

OPTIONS = {"format": VALUE, "quiet": FLAG}
ALIASES = {"f": "format", "q": "quiet"}
FORMATS = ("table", "json")
COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")
GAP = "   "
# How long a new directory may be without lock and state before nobody is believed to make it.
MAKING_SECONDS = 0.1


def main(words: list[str], globals_: Globals) -> int:
    """Print the containers under --root: as a table, as a JSON array, or their ids alone.

    One that is deleted meanwhile is left out; one whose state cannot be understood is a warning,
    and the others are printed all the same. The exit status is 1 when one could not be read.
    """
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="list")
    form = options.text("format") or "table"
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use table or json")
    if options.arguments:
        raise UsageError("list: takes no arguments; see `ociruntime list --help`")
    root = globals_.store.root
    if globals_.root_is_given and not os.path.isdir(root):
        from ociruntime.absence import why

        said = why(root).replace("file or ", "")
        raise StateError(f"--root {root}: {said}; name the directory that containers are in")
    documents, warnings, complete = read_all(globals_.store)
    for warning in warnings:
        globals_.log.warning(warning)
    if options.flag("quiet"):
        text = "".join(f"{document['id']}\n" for document in documents)
    elif form == "json":
        text = dumps(documents) + "\n"
    else:
        text = table(documents)
    say(text.encode("utf-8", "backslashreplace"))
    return 0 if complete else 1


def containers(store: Store) -> tuple[list[ReportedState], list[str]]:
    """(state documents, warnings) of all containers, sorted by id; ``owner`` is a user name."""
    documents, warnings, _ = read_all(store)
    return documents, warnings


def read_all(store: Store) -> tuple[list[ReportedState], list[str], bool]:
    """As ``containers``, and whether all could be read: one that is damaged or half-made is no
    reason to fail, one that the caller cannot read is.
    """
    documents = []
    warnings = []
    complete = True
    for container_id in store.ids():
        try:
            check_id(container_id)
        except UsageError:
            continue  # whatever it is, no container has such a name
        try:
            document = _document(store, container_id)
        except NotFound:
            continue
        except (StateError, OSError) as error:
            complete = False
            warnings.append(f"container {container_id}: {error}")
        except OciError as error:
            warnings.append(f"container {container_id}: {error}")
        else:
            documents += [document] if document else []
    return documents, warnings, complete


def _document(store: Store, container_id: str) -> ReportedState | None:
    """The container as ``list`` shows it; None when it is just going, or does not quite exist yet.

    Raises ``NotFound``, ``OciError`` when it cannot be shown.
    """
    deadline = time.monotonic() + MAKING_SECONDS
    while True:
        container = _open(store, container_id)
        try:
            if container.data:
                return _known(container)
            if _is_busy(container) or os.fstat(container.fd).st_nlink == 0:
                return None
        finally:
            container.close()
        # Somebody may have made the directory and be about to lock it, or have finished meanwhile.
        if time.monotonic() > deadline:
            cure = f"remove it with `ociruntime delete --force {container_id}`"
            raise OciError(f"its creation was cut short; {cure}")
        time.sleep(MAKING_SECONDS / 10)


def _open(store: Store, container_id: str) -> Container:
    try:
        return store.open(container_id)
    except DamagedStateError as error:
        raise OciError(error.advice) from None


def _known(container: Container) -> ReportedState:
    word = status(container)
    document = state_document(container, word, pid_of(container, word))
    document["owner"] = user_name(document["owner"])
    return document


def _is_busy(container: Container) -> bool:
    """Whether another command is at work on the container."""
    try:
        flock(container.fd, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    return False


def user_name(uid: str) -> str:
    """The user's name on this host, ``#1234`` for a uid without one."""
    import pwd

    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, OverflowError, ValueError):
        return f"#{uid}"


def table(documents: Sequence[Mapping[str, object]]) -> str:
    """The documents as aligned columns under a header; values keep to their line."""
    rows = [[name.upper() for name in COLUMNS]]
    rows += [[one_line(str(document[name])) for name in COLUMNS] for document in documents]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(GAP.join(cells).rstrip() + "\n")
    return "".join(lines)

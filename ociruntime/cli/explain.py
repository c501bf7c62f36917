"""ociruntime explain [--kind KIND] [--format text|json] [--width COLUMNS] [POINTER|WORD]..., and
ociruntime explain --schema
"""

from __future__ import annotations

import json
import os

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.screen import BOLD, DIM, INDENT, Screen
from ociruntime.spec.schema import KINDS, schema_directory
from ociruntime.spec.topics import find, suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals
    from ociruntime.spec.topics import Topic

OPTIONS = {"kind": VALUE, "format": VALUE, "width": VALUE, "schema": FLAG}
ALIASES = {"f": "format"}
FORMATS = ("text", "json")
# More than this are listed, and not explained one by one.
MOST = 3


def main(words: list[str], globals_: Globals) -> int:
    """Print what each word means; the exit status is 1 when one means nothing."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="explain")
    kind = options.text("kind") or "config"
    form = options.text("format") or "text"
    if kind not in KINDS:
        raise UsageError(f"--kind {kind}: use {', '.join(KINDS)}")
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use text or json")
    if options.flag("schema"):
        file = os.path.join(os.path.realpath(schema_directory()), f"{KINDS[kind][0]}.json")
        say(os.fsencode(f"{file}\n"))
        return 0
    status = 0
    topics: list[Topic] = []
    parts: list[str] = []
    screen = Screen.of(options.number("width"))
    for word in options.arguments or [""]:
        found = find(word, kind)
        if not found:
            meant = suggestion(word, kind)
            cure = f"did you mean {meant}?" if meant else "see `ociruntime explain`"
            globals_.log.error(f"explain: {word!a} is no property and no word; {cure}")  # noqa: G004
            status = 1
        topics += found
        if found:
            parts.append(shown(found, word, screen))
    if form == "json":
        say((json.dumps([topic.as_dict() for topic in topics], indent=2) + "\n").encode())
    else:
        say("\n".join(parts).encode())
    return status


def shown(found: list[Topic], word: str, screen: Screen) -> str:
    """The topics, or their list when there are many."""
    if len(found) <= MOST:
        return "\n".join(one(topic, screen) for topic in found)
    lines = [f"{word} is in {len(found)} places:", ""]
    lines += screen.pairs([(_title(topic), topic.description) for topic in found])
    return "\n".join(lines) + "\n"


def _title(topic: Topic) -> str:
    return topic.name if topic.kind == "property" else f"{topic.name} ({topic.kind})"


def one(topic: Topic, screen: Screen) -> str:
    """Everything about one topic."""
    kind = f"{INDENT}{screen.mark(topic.kind, DIM)}"
    lines = [f"{screen.mark(topic.name, BOLD)}{kind}", *screen.paragraph(topic.description), ""]
    example = ""
    if topic.example is not None:
        example = f'"{topic.name.rpartition(".")[2]}": {json.dumps(topic.example)}'
    facts = [
        ("is", topic.values),
        ("kernel", topic.kernel),
        ("rule", topic.rule),
        ("with", topic.conflicts),
        ("engines", topic.engines),
        ("write", topic.cure),
        ("example", example),
        ("places", ", ".join(topic.places) if topic.kind != "property" else ""),
    ]
    lines += screen.pairs([(name, text) for name, text in facts if text])
    if topic.members:
        lines += ["", f"{INDENT}members", *screen.pairs(topic.members, INDENT * 2)]
    return "\n".join(lines) + "\n"

"""What there is to be said of a property or of a word, out of the schemas and the vocabularies
(cold path).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache

from ociruntime.errors import OciError
from ociruntime.kernel.signals import BY_NAME
from ociruntime.similar import nearest
from ociruntime.spec import tables
from ociruntime.spec.mount_options import known_options
from ociruntime.spec.schema import KINDS, Part, load_schema, root_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Names = tuple[str, ...]

# Where the numbers of a vocabulary's words are.
NUMBERS = {
    "capabilities": tables.CAPABILITIES,
    "rlimits": tables.RLIMITS,
    "schedulerPolicies": tables.SCHEDULER_POLICIES,
    "signals": BY_NAME,
}
# What may be left out in front of a word.
PREFIXES = ("CAP_", "SIG", "SCMP_ACT_", "SCMP_CMP_", "SCMP_ARCH_", "RLIMIT_", "SCHED_", "MPOL_")
EACH = "*"


@dataclass
class Topic:
    """One thing that can be explained; what is not known of it is empty.

    name      a property's path, or the word
    kind      "property", or what kind of word it is
    places    JSON pointers where it stands, with * for an index or a name
    values    what it may be, of a property
    members   what is in it, of a property that is an object: (name, description)
    """

    name: str
    kind: str
    description: str
    places: list[str]
    values: str = ""
    kernel: str = ""
    rule: str = ""
    conflicts: str = ""
    engines: str = ""
    cure: str = ""
    example: Any = None
    members: list[tuple[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The topic as JSON has it."""
        return {**asdict(self), "members": dict(self.members)}


def find(text: str, kind: str = "config") -> list[Topic]:
    """What ``text`` may mean in documents of ``kind``: a pointer, a dotted path, the end of one, or
    a word of a vocabulary. [] for nothing.
    """
    names = components(text)
    if not names:
        return [property_topic((), kind)]
    exact = _property(names, kind)
    if exact is not None and len(names) > 1:
        return [exact]
    found = [property_topic(path, kind) for path in _ending(names, kind)]
    if exact is not None:
        found.sort(key=lambda topic: topic.name != exact.name)
    words = word_topics(text)
    return found + (words if words or len(names) > 1 else word_topics(names[0]))


def suggestion(text: str, kind: str = "config") -> str:
    """The name or word that ``text`` was probably meant to be, "" for none."""
    names = components(text)
    last = names[-1] if names else text
    known = {path[-1] for path in paths(kind) if path}
    words = {word for vocabulary in vocabularies().values() for word in vocabulary["words"]}
    if "." in text and (meant := nearest(text, sorted(word for word in words if "." in word))):
        return meant
    meant = nearest(last, sorted(known | words | system_calls().keys()))
    return ".".join((*names[:-1], meant)) if meant else ""


def components(text: str) -> Names:
    """``linux.resources.memory``, ``/linux/resources`` and ``mounts[0].options`` by their names;
    indices say nothing.
    """
    text = text.removeprefix("$").replace("[", ".[")
    words = text.strip("/").split("/") if text.startswith("/") else text.split(".")
    return tuple(
        word.replace("~1", "/").replace("~0", "~")
        for word in words
        if word and word != EACH and not word.isdecimal() and word[0] != "["
    )


@cache
def vocabularies() -> dict[str, dict[str, Any]]:
    """What is said of the words that the tables have."""
    return load_schema("vocabulary")


@cache
def system_calls() -> dict[str, int]:
    """Names that rules of seccomp may have, with their numbers on this machine; those of other
    architectures have none (below 0). Empty where libseccomp cannot be loaded.
    """
    from ociruntime.kernel.libseccomp import Library
    from ociruntime.spec.callnames import known_names

    try:
        library = Library()
    except OciError:
        return {}
    native = library.native()
    return {name: library.resolve(native, name) for name in known_names(library)}


def word_topics(text: str) -> list[Topic]:
    """The word in every vocabulary that has it, whatever its case, its prefix left out or not, and
    the system call of that name.
    """
    wanted = text.upper()
    forms = {wanted, *(prefix + wanted for prefix in PREFIXES)}
    forms |= {wanted.removeprefix("SIG")} if wanted.startswith("SIG") else set()
    found = []
    for name, vocabulary in vocabularies().items():
        found += [
            _word(name, vocabulary, word, description)
            for word, description in vocabulary["words"].items()
            if word.upper() in forms or _is_one_of(word, text)
        ]
        if "recursive" in vocabulary and text in known_options() and not found:
            plain = text.removeprefix("r")
            found.append(_word(name, vocabulary, text, vocabulary["recursive"].format(name=plain)))
    if text in system_calls():
        number = system_calls()[text]
        found.append(
            Topic(
                text,
                f"system call {number}" if number >= 0 else "system call of another architecture",
                "What rules of seccomp can allow, refuse or watch by this name.",
                ["/linux/seccomp/syscalls/*/names"],
                kernel=f"{text}(2)",
                rule="config-linux.md#seccomp: names are those of system calls",
            )
        )
    return found


def _is_one_of(word: str, text: str) -> bool:
    """Whether ``word`` is a family, org.systemd.property.NAME, and ``text`` one of it."""
    family = word.removesuffix("NAME")
    return family != word and text.startswith(family) and text != family


def _word(name: str, vocabulary: dict[str, Any], word: str, description: str) -> Topic:
    defaults = [who for who, words in vocabulary.get("defaults", {}).items() if word in words]
    kind = vocabulary["title"]
    if name in NUMBERS:
        kind += f" {NUMBERS[name][word]}"
    engines = f"granted by {', '.join(defaults)}" if defaults else ""
    if not defaults and "defaults" in vocabulary:
        engines = f"granted by none of {', '.join(vocabulary['defaults'])} unless asked for"
    return Topic(
        word,
        kind,
        description,
        list(vocabulary["pointers"]),
        kernel=vocabulary["kernel"],
        rule=vocabulary["rule"],
        engines=engines,
    )


def property_topic(path: Names, kind: str) -> Topic:
    """What the schema says of the property at ``path``, * for an index or a name."""
    part = _part(path, kind)
    assert part is not None
    keywords = part.keywords
    inner = _inside(part)
    members = [
        (member, _described(Part(part.schema, written)))
        for member, written in inner.properties().items()
    ]
    examples = keywords.get("examples", ())
    return Topic(
        ".".join(name for name in path if name != EACH) or kind,
        "property" if path else "document",
        keywords.get("description", "") if path else f"The whole document ({kind}).",
        ["/" + "/".join(path)] if path else ["/"],
        values=_values(part),
        kernel=keywords.get("x-kernel", ""),
        rule=keywords.get("x-rule", ""),
        conflicts=keywords.get("x-conflicts", ""),
        engines=_engines(path, kind),
        cure=keywords.get("x-cure", ""),
        example=examples[0] if examples else None,
        members=members,
    )


def _engines(path: Names, kind: str) -> str:
    """What engines write there; if nobody says, what they write for the whole that it is in."""
    for length in range(len(path), 0, -1):
        part = _part(path[:length], kind)
        said = part.keywords.get("x-engines", "") if part else ""
        if said and length == len(path):
            return str(said)
        if said:
            whole = ".".join(name for name in path[:length] if name != EACH)
            return f"for {whole}: {said}"
    return ""


def paths(kind: str) -> Iterator[Names]:
    """The paths of all properties of a document."""
    todo: list[Names] = [()]
    while todo:
        path = todo.pop(0)
        yield path
        part = _part(path, kind)
        assert part is not None
        between = (EACH,) if _inside(part) is not part else ()
        todo += [(*path, *between, name) for name in _inside(part).properties()]


def _property(names: Names, kind: str) -> Topic | None:
    """The property whose path has exactly these names."""
    for path in paths(kind):
        if tuple(name for name in path if name != EACH) == names:
            return property_topic(path, kind)
    return None


def _ending(names: Names, kind: str) -> list[Names]:
    """The paths that end with ``names``, whatever their case."""
    wanted = tuple(name.lower() for name in names)
    found = []
    for path in paths(kind):
        mine = tuple(name.lower() for name in path if name != EACH)
        if mine[-len(wanted) :] == wanted:
            found.append(path)
    return found


def _part(path: Names, kind: str) -> Part | None:
    part: Part | None = _root(kind)
    for name in path:
        if part is None:
            return None
        part = _inside(part) if name == EACH else part.below(name)
    return part


def _inside(part: Part) -> Part:
    """What an array or a map consists of; the part itself if it is neither."""
    if part.properties():
        return part
    for keyword in ("items", "additionalProperties"):
        inner = part.keywords.get(keyword)
        if isinstance(inner, dict):
            return Part(part.schema, inner)
    return part


def _described(part: Part) -> str:
    text: str = part.keywords.get("description", "")
    return text


def _values(part: Part) -> str:
    keywords = part.keywords
    kinds = keywords.get("type", "")
    word = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    inner = _inside(part).keywords
    if inner is not keywords:
        word += f" of {inner.get('type', 'anything')}s"
    if "minimum" in keywords:
        word += f", {keywords['minimum']} to {keywords['maximum']}"
    if "enum" in inner:
        word += f": {', '.join(json.dumps(value).strip(chr(34)) for value in inner['enum'])}"
    return word


@cache
def _root(kind: str) -> Part:
    assert kind in KINDS
    return root_part(kind)

"""Walks a document along its schema: unknown keys, broken keywords, the document without them.

Cold path.  ``broken`` finds what `jsonschema` finds, for the subset of keywords in use, and stands
in where that is not installed; ``unknown`` finds what no validator looks for.
"""

from __future__ import annotations

from ociruntime.jsontext import token
from ociruntime.spec.schema import Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    Path: TypeAlias = tuple[str | int, ...]

_TYPES = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def pointer(path: Path) -> str:
    """A path as a JSON pointer (RFC 6901)."""
    return "".join("/" + token(str(step)) for step in path)


def part_at(part: Part, path: Path) -> Part:
    """The part of the schema for the value at ``path``, as far as the schema goes."""
    for step in path:
        below = part.below(step)
        if below is None:
            break
        part = below
    return part


def children(part: Part, value: Any) -> Iterator[tuple[str | int, Any, Part]]:
    """(step, value, part) of everything directly inside ``value`` that the schema speaks of."""
    inside: Any = ()
    if type(value) is dict:
        inside = value.items()
    elif type(value) is list:
        inside = enumerate(value)
    for step, inner in inside:
        below = part.below(step)
        if below is not None:
            yield step, inner, below


def unknown(part: Part, value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all properties that the schema does not know."""
    if type(value) is dict and "properties" in part.keywords:
        for name in value:
            # Editors look there for the schema of the file.
            if name not in part.properties() and (path or name != "$schema"):
                yield (*path, name)
    for step, inner, below in children(part, value):
        yield from unknown(below, inner, (*path, step))


def broken(part: Part, value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """(path, keyword) of everything that breaks the schema.

    The path of a missing property ends with its name, that of a bad key with the key; the keyword
    of the latter begins with "propertyNames/".
    """
    kinds = part.keywords.get("type", ())
    allowed = [kinds] if isinstance(kinds, str) else kinds
    if allowed and type(value) not in [_TYPES[kind] for kind in allowed]:
        yield path, "type"
        return
    for name in part.keywords.get("required", ()) if type(value) is dict else ():
        if name not in value:
            yield (*path, name), "required"
    for keyword, holds in _TESTS.items():
        if keyword in part.keywords and not holds(part.keywords[keyword], value):
            yield path, keyword
            break
    if type(value) is dict and "propertyNames" in part.keywords:
        keys = Part(part.schema, part.keywords["propertyNames"])
        for name in value:
            for _, keyword in broken(keys, name):
                yield (*path, name), f"propertyNames/{keyword}"
    for step, inner, below in children(part, value):
        yield from broken(below, inner, (*path, step))


def without(
    part: Part,
    value: Any,
    bad: set[Path],
    moves: dict[Path, list[int]],
    stand_ins: dict[Path, dict[str, Any]],
    path: Path = (),
) -> Any:
    """A copy of ``value``, which is at ``path``, without what is at the paths in ``bad``.

    What loses a property it requires goes with it, unless ``stand_ins`` has something for it; None
    comes back if nothing can be left.  ``moves`` gets, by the path of every array, the old indices
    of the entries that are left.
    """
    if path in bad:
        return stand_ins.get(path)
    if type(value) is dict:
        result: dict[str, Any] = dict(stand_ins.get(path, {}))
        for name, inner in value.items():
            below = part.below(name)
            left = inner
            if below is not None:
                left = without(below, inner, bad, moves, stand_ins, (*path, name))
            if left is not None:
                result[name] = left
        return result if result.keys() >= set(part.keywords.get("required", ())) else None
    if type(value) is list:
        below = part.below(0)
        if below is None:
            return value
        kept = [
            without(below, one, bad, moves, stand_ins, (*path, index))
            for index, one in enumerate(value)
        ]
        moves[path] = [index for index, one in enumerate(kept) if one is not None]
        return [one for one in kept if one is not None]
    return value


def _matches(pattern: str, value: Any) -> bool:
    import re

    return type(value) is not str or re.search(pattern, value) is not None


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "enum": lambda names, value: value in names,
    "minLength": lambda limit, value: type(value) is not str or len(value) >= limit,
    "maxLength": lambda limit, value: type(value) is not str or len(value) <= limit,
    "pattern": _matches,
    "minimum": lambda limit, value: type(value) is not int or value >= limit,
    "maximum": lambda limit, value: type(value) is not int or value <= limit,
    "minItems": lambda limit, value: type(value) is not list or len(value) >= limit,
    "maxItems": lambda limit, value: type(value) is not list or len(value) <= limit,
}

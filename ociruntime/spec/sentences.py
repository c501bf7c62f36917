"""One clear sentence for each way to break a schema (cold path)."""

from __future__ import annotations

from ociruntime.jsontext import dumps
from ociruntime.similar import nearest
from ociruntime.spec.fault import WARNING, Fault
from ociruntime.spec.patterns import form
from ociruntime.spec.schema import Part
from ociruntime.spec.walk import part_at, pointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.spec.walk import Path

_SHORT = 60
_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def shown(value: Any) -> str:
    """``value`` as JSON text of at most _SHORT characters."""
    text = dumps(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."


def schema_fault(part: Part, document: Any, path: Path, keyword: str) -> Fault:
    """The fault for a broken ``keyword`` at ``path``, as ``walk.broken`` reports it."""
    if keyword == "required":
        return _missing(part, path)
    if keyword.startswith("propertyNames/"):
        around = part_at(part, path[:-1])
        here = Part(part.schema, around.keywords["propertyNames"]).keywords
        value: Any = path[-1]
        keyword = keyword.partition("/")[2]
    else:
        here = part_at(part, path).keywords
        value = document
        for step in path:
            value = value[step]
    message = f"{shown(value)} {_predicate(here, keyword, value)}"
    return Fault(pointer(path), value, message, here.get("x-rule", ""), _cure(here, keyword, value))


def unknown_fault(part: Part, path: Path) -> Fault:
    """The warning for the unknown property at ``path``."""
    name = str(path[-1])
    known = part_at(part, path[:-1]).properties()
    cure = "remove it, or see the specification for its name"
    meant = nearest(name, known)
    if meant:
        cure = f'did you mean "{meant}"?'
    elif home := _home(part, name):
        cure = f'"{name}" belongs to {home}'
    rule = "config.md#extensibility: unknown properties MUST be ignored"
    message = f"the property {dumps(name)} is unknown and is ignored"
    return Fault(pointer(path), None, message, rule, cure, WARNING)


def _missing(part: Part, path: Path) -> Fault:
    around = part_at(part, path[:-1])
    here = part_at(part, path).keywords
    place = pointer(path[:-1]) or "the document"
    rule = around.keywords.get("x-rule", "") if path[:-1] else here.get("x-rule", "")
    return Fault(pointer(path), None, f'{place} has no "{path[-1]}"', rule, f'add "{path[-1]}"')


def _predicate(here: dict[str, Any], keyword: str, value: Any) -> str:
    limit = here.get(keyword)
    if keyword == "type":
        kinds = [limit] if isinstance(limit, str) else list(limit or ())
        return f"is {_kind(value)}, not {' or '.join(_NAMES[kind] for kind in kinds)}"
    if keyword == "enum":
        return "is not a value of this property"
    if keyword == "pattern":
        return form(str(limit))
    if keyword in ("minLength", "minItems"):
        return "is empty"
    if keyword == "maxLength":
        return f"is longer than {limit} characters"
    if keyword == "maxItems":
        return "must be empty"
    return f"is out of range ({here.get('minimum')} to {here.get('maximum')})"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, float):
        return "a fraction"
    names = {str: "a string", int: "a number", list: "an array", dict: "an object"}
    return names[type(value)]


def _cure(here: dict[str, Any], keyword: str, value: Any) -> str:
    if keyword == "enum":
        meant = nearest(value, here["enum"]) if isinstance(value, str) else ""
        names = ", ".join(here["enum"])
        return f'did you mean "{meant}"?' if meant else f"use one of {names}"
    written = _written(here, value) if keyword == "type" else ""
    if written:
        return written
    if keyword in ("minimum", "maximum") and here.get("x-cure", "").startswith("leave it"):
        return f"use a number from {here['minimum']} to {here['maximum']}"
    if "x-cure" in here:
        return str(here["x-cure"])
    if keyword == "type":
        return f"give {_NAMES.get(str(here['type']), 'another value')}"
    if keyword in ("minimum", "maximum"):
        return f"use a number from {here['minimum']} to {here['maximum']}"
    return "see the rule"


def _written(here: dict[str, Any], value: Any) -> str:
    """How a value of a wrong type was meant; empty when that cannot be told."""
    if isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if here["type"] == "integer" and isinstance(value, str) and value.lstrip("-").isdecimal():
        return "write the number without quotes"
    if here["type"] == "boolean" and value in ("true", "false"):
        return f"write {value} without quotes"
    if here["type"] == "array" and isinstance(value, (str, int, dict)):
        return "put it in brackets: [ ... ]"
    return ""


def _home(part: Part, name: str) -> str:
    """The pointer of an object that has a property of this name, "" if none has."""
    todo: list[tuple[Path, Part]] = [((), part)]
    while todo:
        path, here = todo.pop(0)
        if name in here.properties():
            return pointer((*path, name))
        for step in here.properties():
            below = here.below(step)
            if below is not None and "properties" in below.keywords:
                todo.append(((*path, step), below))
    return ""

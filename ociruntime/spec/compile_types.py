"""Turns the schemas of documents into TypedDicts for the type checker (build time): the text of
ociruntime/spec/documents.pyi, which ``ociruntime.spec.compile`` writes.

It is a stub without a module: nothing can import it but under ``TYPE_CHECKING``, so it costs
nothing at run time. A member is as the schema has it when the document has been checked; where a
schema does not look into a value, neither does its type. Of a configuration any member may be left
out to the type checker: what is required was checked, and {} stands for what is not given.
"""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

from ociruntime.spec.schema import load_schema

# schema -> (type of the whole, what the names of its parts begin with, what they end with)
DOCUMENTS = {
    "config": ("Config", "", "Config"),
    "state": ("StateDocument", "State", ""),
    "features": ("FeaturesDocument", "Features", ""),
    "plan": ("PlanDocument", "Plan", ""),
}
SIMPLE = {"string": "str", "integer": "int", "boolean": "bool", "null": "None"}

_HEADER = '''"""GENERATED from schemas/*.json by ociruntime/spec/compile_types.py: do not edit.

The documents of the specification, and what ``plan`` prints, as types.
"""
# fmt: off

from typing import Any, NotRequired, TypedDict
'''


class TypeWriter:
    """Writes one TypedDict for each object with properties in ``schema``."""

    def __init__(self, schema: dict[str, Any], begin: str, end: str, *, total: bool) -> None:
        self.schema = schema
        self.total = total
        self.begin = begin
        self.end = end
        self.written: dict[str, str] = {}

    def of(self, part: dict[str, Any], words: str) -> str:
        """The type of ``part`` of the schema; ``words`` would name it, if it needs a name."""
        if "$ref" in part:
            name = part["$ref"].removeprefix("#/$defs/")
            return self.of(self.schema["$defs"][name], name)
        if "enum" in part:
            return "str"
        kind = part.get("type")
        if isinstance(kind, list):
            return " | ".join(self.of({**part, "type": one}, words) for one in kind)
        if kind in SIMPLE:
            return SIMPLE[kind]
        if kind == "array":
            one = f"{words[:-3]}y" if words.endswith("ies") else words.removesuffix("s")
            return f"list[{self.of(part['items'], one)}]"
        if kind == "object" and "properties" in part:
            return self.structure(part, f"{self.begin}{words}{self.end}", words)
        if kind == "object":
            inside = part.get("additionalProperties")
            return f"dict[str, {self.of(inside, words) if inside else 'Any'}]"
        raise ValueError(f"no type for {part}")

    def structure(self, part: dict[str, Any], name: str, words: str) -> str:
        """Write the TypedDict ``name``; returns its name."""
        if name not in self.written:
            self.written[name] = ""  # its place among the others
            required = part.get("required", ())
            members = {}
            for key, value in part["properties"].items():
                found = self.of(value, words + key[0].upper() + key[1:])
                optional = self.total and key not in required
                members[key] = f"NotRequired[{found}]" if optional else found
            self.written[name] = self._definition(name, members)
        return name

    def _definition(self, name: str, members: dict[str, str]) -> str:
        total = "" if self.total else ", total=False"
        if any(map(iskeyword, members)):
            lines = "".join(f'    "{key}": {found},\n' for key, found in members.items())
            return f'{name} = TypedDict("{name}", {{\n{lines}}}{total})\n'
        lines = "".join(f"    {key}: {found}\n" for key, found in members.items())
        return f"class {name}(TypedDict{total}):\n{lines}"


def generate_types() -> str:
    """The text of documents.pyi for the present schemas."""
    text = _HEADER
    for schema_name, (whole, begin, end) in DOCUMENTS.items():
        schema = load_schema(schema_name)
        writer = TypeWriter(schema, begin, end, total=schema_name != "config")
        writer.structure(schema, whole, "")
        text += "".join(f"\n{one}" for one in writer.written.values())
    return text

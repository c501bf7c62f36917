"""The JSON Schemas as data (cold path: explaining, generating, tests)."""

from __future__ import annotations

import os

from ociruntime.bundle import parse_object, read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What `validate --kind` takes -> (file, definition inside it, "" for the whole file).
KINDS = {
    "config": ("config", ""),
    "process": ("config", "Process"),
    "resources": ("config", "Resources"),
    "state": ("state", ""),
    "features": ("features", ""),
}
# Documents that ask for something: a member that is null is one that is not given. In the others
# null may be an answer (features.md: "unknown").
SETTINGS = ("config", "process", "resources")


def schema_directory() -> str:
    """The directory of the schemas: inside an installed package, else in the source tree."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    installed = os.path.join(package, "schemas")
    checkout = os.path.join(package, os.pardir, "schemas")
    # The installed one also where neither can be seen: the error about its files says why.
    return checkout if not os.path.isdir(installed) and os.path.isdir(checkout) else installed


def load_schema(name: str) -> dict[str, Any]:
    """The schema ``name`` (config, state, features) as parsed JSON; raises SpecError."""
    path = os.path.join(schema_directory(), f"{name}.json")
    return parse_object(read_file(path), path)


class Part:
    """A part of a schema and the way further down; $ref is followed, annotations beside it win."""

    __slots__ = ("keywords", "schema")

    def __init__(self, schema: dict[str, Any], keywords: dict[str, Any]) -> None:
        self.schema = schema
        if "$ref" in keywords:
            definition = schema["$defs"][keywords["$ref"].removeprefix("#/$defs/")]
            keywords = {**definition, **keywords}
        self.keywords = keywords

    def properties(self) -> dict[str, Any]:
        """The properties that the part names."""
        properties: dict[str, Any] = self.keywords.get("properties", {})
        return properties

    def below(self, step: str | int) -> Part | None:
        """The part for the property or array index ``step``; None if the schema says nothing."""
        if isinstance(step, int):
            inner = self.keywords.get("items")
        else:
            inner = self.properties().get(step, self.keywords.get("additionalProperties"))
        return Part(self.schema, inner) if inner is not None else None


def root_part(kind: str) -> Part:
    """The part for the whole document of ``kind``, a key of KINDS."""
    file, definition = KINDS[kind]
    schema = load_schema(file)
    return Part(schema, schema["$defs"][definition] if definition else schema)

"""Turns schemas/config.json into the plain Python of ociruntime/spec/config_check.py (build time).

    python -m ociruntime.spec.compile [--check]

writes that module and the types of ``compile_types``, or with --check only says (exit status 1)
that one of them is out of date.  Only what is listed here is understood: any other keyword or
pattern in the schema stops the generator, so that no rule is lost silently.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from ociruntime.spec import checks
from ociruntime.spec.compile_types import generate_types
from ociruntime.spec.patterns import LENGTHS, PATTERNS
from ociruntime.spec.schema import load_schema

_NOTES = {
    "$schema", "$id", "$defs", "title", "description", "examples",
    "x-rule", "x-cure", "x-kernel", "x-conflicts", "x-engines",
}  # fmt: skip

_HEADER = '''"""GENERATED from schemas/config.json by ociruntime/spec/compile.py: do not edit.

Each name is a definition of the schema as a check of ``checks``; CONFIG is the whole document.
"""
# fmt: off
# ruff: noqa: I001

from __future__ import annotations

'''


class Generator:
    """Writes one expression of checks per definition of ``schema``."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.written: dict[str, str] = {}

    def text(self) -> str:
        """The generated module."""
        document = self.value(self.schema, 0)
        body = "".join(f"{name} = {value}\n" for name, value in self.written.items())
        body += f"CONFIG = {document}\n"
        words = set(re.findall(r"\b[a-z_]+\b", body)) - {"annotations"}
        used = [word for word in words if hasattr(checks, word)]
        names = "\n".join(textwrap.wrap(", ".join(sorted(used)) + ",", 96))
        names = textwrap.indent(names, "    ")
        return f"{_HEADER}from ociruntime.spec.checks import (\n{names}\n)\n\n{body}"

    def value(self, part: dict[str, Any], depth: int) -> str:
        """The check for ``part`` of the schema; ``depth`` is the indentation in steps of four."""
        part = {key: value for key, value in part.items() if key not in _NOTES}
        if "$ref" in part:
            self.expect(part, {"$ref"})
            return self.definition(part["$ref"].removeprefix("#/$defs/"))
        writers = {
            "string": self.string,
            "integer": self.integer,
            "boolean": self.boolean,
            "array": self.array,
            "object": self.object,
        }
        return writers[part.pop("type")](part, depth)

    def definition(self, name: str) -> str:
        """The constant that holds the check of the definition ``name``, written when first used."""
        constant = "".join("_" + c if c.isupper() else c for c in name).lstrip("_").upper()
        constant = constant.replace("I_D_", "ID_")
        if constant not in self.written:
            self.written[constant] = self.value(self.schema["$defs"][name], 0)
        return constant

    def expect(self, part: dict[str, Any], keywords: set[str]) -> None:
        """Stop at a keyword the generator has no code for."""
        if strange := part.keys() - keywords:
            raise ValueError(f"the generator does not know {sorted(strange)} in {part}")

    def string(self, part: dict[str, Any], depth: int) -> str:
        """The check of a string."""
        if "enum" in part:
            self.expect(part, {"enum"})
            return f"one_of(\n{self.words(part['enum'], depth + 1)}{'    ' * depth})"
        if "pattern" in part:
            return f"matching({self.predicate(part)})"
        if part:
            self.expect(part, {"minLength", "maxLength"})
            longest = part.get("maxLength", "2**31")
            return f"length({part.get('minLength', 0)}, {longest})"
        return "string"

    def predicate(self, part: dict[str, Any]) -> str:
        """The name of the function for a pattern, or for the keys of a map."""
        part = {key: value for key, value in part.items() if key not in _NOTES}
        if part == {"minLength": 1} or not part:
            return "len" if part else "string"
        function = PATTERNS[part.pop("pattern")]
        if part != LENGTHS.get(function, {}):
            raise ValueError(f"the generator cannot combine {function} and {part}")
        return function

    def integer(self, part: dict[str, Any], _depth: int) -> str:
        """The check of an integer; both limits must be given."""
        self.expect(part, {"minimum", "maximum"})
        return f"integer({part['minimum']}, {part['maximum']})"

    def boolean(self, part: dict[str, Any], _depth: int) -> str:
        """The check of a boolean."""
        self.expect(part, set())
        return "boolean"

    def array(self, part: dict[str, Any], depth: int) -> str:
        """The check of an array."""
        items = self.value(part.pop("items"), depth)
        if items != "string":
            self.expect(part, set())
            return f"array({items})"
        if not part:
            return "strings"
        return {"{'minItems': 1}": "some_strings", "{'maxItems': 0}": "no_strings"}[str(part)]

    def object(self, part: dict[str, Any], depth: int) -> str:
        """The check of an object: with properties, with free keys, or not looked into."""
        if not part:
            return "anything"
        if "additionalProperties" in part:
            self.expect(part, {"additionalProperties", "propertyNames"})
            keys = self.predicate(part.get("propertyNames", {}))
            return f"mapping({keys}, {self.value(part['additionalProperties'], depth)})"
        self.expect(part, {"properties", "required"})
        indent = "    " * depth
        lines = "".join(
            f"{indent}    {json.dumps(name)}: {self.value(value, depth + 1)},\n"
            for name, value in part["properties"].items()
        )
        required = "".join(f", {json.dumps(name)}" for name in part.get("required", ()))
        return f"structure({{\n{lines}{indent}}}{required})"

    def words(self, names: list[str], depth: int) -> str:
        """The names as arguments, filled into lines; nothing for no names."""
        indent = "    " * depth
        text = " ".join(f'"{name}",' for name in names)
        lines = textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent)
        return "".join(line + "\n" for line in lines)


def generate() -> str:
    """The text of config_check.py for the present schema."""
    return Generator(load_schema("config")).text()


def main(arguments: list[str]) -> int:
    """Write the files; with --check compare only.  Returns the exit status."""
    status = 0
    for name, text in (("config_check.py", generate()), ("documents.pyi", generate_types())):
        target = Path(__file__).parent / name
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            sys.stderr.write(f"{target} is out of date; run python -m ociruntime.spec.compile\n")
            status = 1
        else:
            target.write_text(text, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

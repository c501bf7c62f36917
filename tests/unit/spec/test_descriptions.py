"""Every property of the schemas says what it is, where that is written, and what cures a fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ociruntime.spec.schema import Part, load_schema, root_part

SCHEMAS = ("config", "features", "state", "plan", "trace")
LONGEST = 160


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, keywords as written) of every property, in definitions, too."""

    def walk(part: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, inner in part.get("properties", {}).items():
            yield f"{path}/{name}", inner
            yield from walk(inner, f"{path}/{name}")
        for keyword in ("items", "additionalProperties"):
            if isinstance(part.get(keyword), dict):
                yield from walk(part[keyword], f"{path}/*")

    yield from walk(schema, "")
    for name, definition in schema.get("$defs", {}).items():
        yield from walk(definition, f"#{name}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_property_has_a_description(name: str) -> None:
    bad = [
        path
        for path, part in properties(load_schema(name))
        if not 3 < len(part.get("description", "")) <= LONGEST
        or not part["description"].endswith(".")
    ]
    assert not bad


@pytest.mark.parametrize("name", ["config", "features", "state"])
def test_every_property_has_rule_and_cure(name: str) -> None:
    schema = load_schema(name)
    for path, written in properties(schema):
        part = Part(schema, written).keywords
        assert part.get("x-cure"), path
        assert "#" in part.get("x-rule", ""), path


def test_examples_are_valid() -> None:
    schema = load_schema("config")
    count = 0
    for path, written in properties(schema):
        for example in written.get("examples", ()):
            validator = Draft202012Validator({**written, "$defs": schema["$defs"]})
            assert not list(validator.iter_errors(example)), (path, example)
            count += 1
    assert count > 170


def test_ids_are_the_files_names() -> None:
    """Relative to wherever they are, so that no address is promised that nobody serves."""
    for name in SCHEMAS:
        assert load_schema(name)["$id"] == f"{name}.json"
    assert root_part("config").keywords["title"]

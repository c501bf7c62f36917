"""Our schemas against the specification's own, where its data is at hand."""

from __future__ import annotations

import copy
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from ociruntime.bundle import parse, parse_settings
from ociruntime.spec import load
from ociruntime.spec.schema import load_schema

from .documents import FULL, ODD_VALUES, corpus, encoded, focused, mutated, oracle, places, put

FILES = {"config": "config-schema", "state": "state-schema", "features": "features-schema"}


@cache
def theirs(kind: str) -> Draft4Validator:
    schemas: dict[str, Any] = {}
    for path in (oracle() / "schema").glob("*.json"):
        # "#definitions/x" is no JSON pointer; later validators do not take it for one.
        text = path.read_text().replace('"#definitions/', '"#/definitions/')
        schemas[path.name] = json.loads(text)
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema, default_specification=DRAFT4))
        for name, schema in schemas.items()
    )
    name = f"{FILES[kind]}.json"
    return Draft4Validator({"$ref": name}, registry=registry)


def ours(kind: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(kind))


def examples(verdict: str) -> list[tuple[str, Path]]:
    return [
        (kind, path)
        for kind in FILES
        for path in sorted((oracle() / "examples" / kind / verdict).glob("*.json"))
    ]


def test_good_examples() -> None:
    found = examples("good")
    assert found
    for kind, path in found:
        assert list(ours(kind).iter_errors(json.loads(path.read_text()))) == [], path


def test_bad_examples() -> None:
    found = [entry for entry in examples("bad") if not entry[1].name.startswith("freebsd")]
    assert found
    for kind, path in found:
        try:
            document = json.loads(path.read_text())
        except ValueError:
            continue
        assert not ours(kind).is_valid(document), path


def test_the_corpus_loads() -> None:
    for path in corpus():
        raw = path.read_bytes()
        assert load(raw, parse_settings(raw, str(path)), source=str(path)) == [], path


# What we take although the specification's schema does not, and why.
WIDER = {
    "fileMode": "containerd writes st_mode, with the bits of the file type",
    "pids": "runc and crun take one without a limit for no limit",
    "rootfsPropagation": "dockerd writes rslave and rshared",
}


def narrower_or_equal(validator: Draft4Validator, document: Any) -> None:
    """What the specification's schema refuses, ours refuses (but for WIDER and other platforms)."""
    document = parse(encoded(document), "document")
    if not ours_config.is_valid(document):
        return
    for error in validator.iter_errors(document):
        last = [step for step in error.absolute_path if isinstance(step, str)][-1]
        assert last in WIDER, (list(error.absolute_path), error.message)


ours_config = Draft202012Validator(load_schema("config"))


@pytest.mark.parametrize("path", list(places(FULL))[1:], ids=lambda path: "/".join(map(str, path)))
def test_we_refuse_what_the_specification_refuses(path: tuple[str | int, ...]) -> None:
    validator = theirs("config")
    chance = random.Random(str(path))
    for value in chance.sample(ODD_VALUES, 8):
        narrower_or_equal(validator, put(focused(path), path, copy.deepcopy(value)))


def test_we_refuse_what_the_specification_refuses_in_real_configs() -> None:
    validator = theirs("config")
    chance = random.Random(5)
    documents = [json.loads(path.read_text()) for path in corpus()[::6]]
    for document in documents:
        for _ in range(3):
            narrower_or_equal(validator, mutated(document, chance))


def properties(schema: dict[str, Any], part: dict[str, Any], files: dict[str, Any]) -> set[str]:
    """Every property name that is reachable from ``part`` of the specification's schema."""
    names: set[str] = set()
    todo, seen = [(schema, part)], set()
    while todo:
        document, here = todo.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        reference = here.get("$ref", "")
        if reference:
            file, _, place = reference.partition("#")
            document = files[file] if file else document
            target: Any = document
            for step in place.strip("/").split("/"):
                target = target[step]
            todo.append((document, target))
        names.update(here.get("properties", {}))
        inner = [*here.get("properties", {}).values(), here.get("items", {})]
        inner += [*here.get("allOf", []), *here.get("anyOf", []), here.get("additionalProperties")]
        todo += [(document, one) for one in inner if isinstance(one, dict)]
    return names


def test_we_know_every_property_of_the_specification() -> None:
    files = {
        path.name: json.loads(path.read_text()) for path in (oracle() / "schema").glob("*.json")
    }
    for kind, name in FILES.items():
        root = files[f"{name}.json"]
        root = {
            **root,
            "properties": {
                k: v
                for k, v in root["properties"].items()
                if k not in ("windows", "solaris", "vm", "zos", "freebsd")
            },
        }
        text = json.dumps(load_schema(kind))
        for property_ in properties(root, root, files):
            assert f'"{property_}":' in text, (kind, property_)

"""The generated check, the walker and jsonschema say the same about every document."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any, ForwardRef, is_typeddict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ociruntime.bundle import parse
from ociruntime.spec import checks, config_check
from ociruntime.spec.checks import BAD, UNKNOWN
from ociruntime.spec.compile import generate
from ociruntime.spec.compile_types import DOCUMENTS, generate_types
from ociruntime.spec.explain import _schema_faults
from ociruntime.spec.patterns import FORMS, LENGTHS, PATTERNS
from ociruntime.spec.schema import Part, load_schema, root_part
from ociruntime.spec.walk import broken, unknown

from .documents import FULL, MINIMAL, ODD_VALUES, encoded, focused, mutated, oracle, places, put

SEEDS = range(8)


config_part = cache(lambda: root_part("config"))


def agree(document: Any) -> None:
    """All three engines agree on ``document``."""
    document = parse(encoded(document), "document")
    state = config_check.CONFIG(document)
    part = config_part()
    walked = dict(broken(part, document))
    explained = dict(_schema_faults(part, document))
    assert (state < BAD) == (not explained)
    assert walked.keys() == explained.keys()
    if not walked:
        assert bool(state & UNKNOWN) == any(unknown(part, document))


def test_generated_module_is_up_to_date() -> None:
    written = Path(config_check.__file__).read_text(encoding="utf-8")
    assert written == generate(), "run python -m ociruntime.spec.compile"


@pytest.mark.parametrize("document", [MINIMAL, FULL], ids=["minimal", "full"])
def test_good_documents(document: dict[str, Any]) -> None:
    assert config_check.CONFIG(document) == checks.OK
    agree(document)


def test_the_full_document_has_every_property() -> None:
    """Else a mutation could not reach all of the schema."""
    part = root_part("config")
    todo = [(part, FULL, "")]
    foreign = {"windows", "solaris", "vm", "zos", "freebsd"}
    while todo:
        here, value, name = todo.pop()
        values = value if isinstance(value, list) else [value]
        inner = here.below(0) if isinstance(value, list) else here
        assert inner is not None
        known = inner.properties().keys() - foreign
        given = {key for one in values if isinstance(one, dict) for key in one}
        assert known <= given, f"{name} lacks {known - given}"
        for one in values:
            for key in known & one.keys() if isinstance(one, dict) else ():
                below = inner.below(key)
                assert below is not None
                todo.append((below, one[key], f"{name}/{key}"))


@pytest.mark.parametrize("path", list(places(FULL)), ids=lambda path: "/".join(map(str, path)))
def test_every_place_with_odd_values(path: tuple[str | int, ...]) -> None:
    for value in ODD_VALUES:
        agree(put(focused(path), path, value))


@pytest.mark.parametrize("path", list(places(FULL))[1:], ids=lambda path: "/".join(map(str, path)))
def test_every_place_removed(path: tuple[str | int, ...]) -> None:
    document: Any = focused(path)
    around: Any = document
    for step in path[:-1]:
        around = around[step]
    del around[path[-1]]
    agree(document)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_mutations(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        document = mutated(FULL, chance)
        if chance.random() < 0.5:
            document = mutated(document, chance)
        agree(document)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutations_of_real_configs(seed: int) -> None:
    chance = random.Random(seed)
    files = sorted((oracle() / "corpus").glob("*.json"))
    for _ in range(6):
        document = json.loads(chance.choice(files).read_text())
        agree(document)
        agree(mutated(document, chance))


KEYS = sorted({str(step) for path in places(FULL) for step in path if isinstance(step, str)})
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(-1e9, 1e9)
    | st.text(max_size=5)
    | st.sampled_from(["/", "SCMP_ACT_ALLOW", "RLIMIT_CPU", "user", "1.0.0"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=4))
def test_made_up_documents(document: dict[str, Any]) -> None:
    text = encoded({**MINIMAL, **document}).decode()
    if "\\u0000" in text or re.search(r"\\ud[89a-f]", text):
        return  # the parser refuses these before any schema sees them
    agree({**MINIMAL, **document})


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_patterns(data: st.DataObject) -> None:
    """Each function says what its regular expression says."""
    pattern = data.draw(st.sampled_from(sorted(PATTERNS)))
    name = PATTERNS[pattern]
    text = data.draw(st.from_regex(pattern) | st.text("/: \t\n.-+0123MBKGrwmLax", max_size=8))
    expected = re.search(pattern, text) is not None
    limits = LENGTHS.get(name, {})
    if len(text) < limits.get("minLength", 0) or len(text) > limits.get("maxLength", 1000):
        expected = False
    assert bool(getattr(checks, name)(text)) == expected, (name, text)


def test_every_pattern_has_words() -> None:
    assert set(PATTERNS.values()) == FORMS.keys()


@pytest.mark.parametrize("kind", ["config", "state", "features"])
def test_schemas_are_schemas(kind: str) -> None:
    Draft202012Validator.check_schema(load_schema(kind))


@pytest.mark.parametrize("kind", ["config", "state", "features"])
def test_every_part_has_a_rule(kind: str) -> None:
    """A fault must be able to name the section of the specification."""

    def walk(part: dict[str, Any], where: str) -> None:
        for name, inner in part.get("properties", {}).items():
            target = inner
            if "$ref" in inner:
                target = {**schema["$defs"][inner["$ref"].rsplit("/", 1)[1]], **inner}
            assert "x-rule" in target, f"{where}/{name}"
            walk(inner, f"{where}/{name}")
            if isinstance(inner.get("items"), dict):
                walk(inner["items"], f"{where}/{name}/*")

    schema = load_schema(kind)
    walk(schema, "")
    for name, part in schema.get("$defs", {}).items():
        walk(part, f"$defs/{name}")


def test_generated_types_are_up_to_date() -> None:
    written = Path(config_check.__file__).with_name("documents.pyi").read_text(encoding="utf-8")
    assert written == generate_types(), "run python -m ociruntime.spec.compile"


def written(annotation: object) -> str:
    """As in the source; since Python 3.14 the repr of one also names the class that it is in."""
    return annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else str(annotation)


def test_types_have_every_member_of_every_schema() -> None:
    """A whole document, and each part of it that has members, is a TypedDict of just these."""
    namespace: dict[str, Any] = {}
    future = "from __future__ import annotations\n"
    exec(future + generate_types(), namespace)
    for name, (whole, *_) in DOCUMENTS.items():
        todo: list[tuple[Part, str]] = [(Part(load_schema(name), load_schema(name)), whole)]
        while todo:
            part, kind = todo.pop()
            members = namespace[kind].__annotations__
            assert members.keys() == part.properties().keys(), kind
            for key, member in members.items():
                below = part.below(key)
                while below is not None and below.keywords.get("type") == "array":
                    below = below.below(0)
                inner = [word for word in re.findall(r"\w+", written(member)) if word in namespace]
                structures = [word for word in inner if is_typeddict(namespace[word])]
                has_members = below is not None and bool(below.properties())
                others = below.keywords.get("additionalProperties") if below is not None else None
                assert bool(structures) == has_members or others, f"{kind}.{key}: {member}"
                if has_members and below is not None:
                    todo.append((below, structures[0]))

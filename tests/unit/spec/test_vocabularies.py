"""Each vocabulary of the specification is one table, and all of it is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ociruntime
from ociruntime.spec import tables
from ociruntime.spec.mount_options import MountOptions
from ociruntime.spec.tables import MOUNT_ACTIONS

PACKAGE = Path(ociruntime.__file__).parent
OF_TABLES = ("spec/tables.py", "features.py", "spec/mount_options.py")
VOCABULARIES = {
    name: set(table)
    for name, table in vars(tables).items()
    if name.isupper() and isinstance(table, dict) and len(table) > 2
}
# A table with so many names of one vocabulary as keys, and half of it, is a second one.
MANY = 3
# The schema's properties, compiled: it checks what is below each name.
COMPILED = "spec/config_check.py"


def trees(*without: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if name not in without:
            yield name, ast.parse(path.read_text())


def names_read(*without: str) -> set[str]:
    """What modules read: names, and attributes of anything."""
    found = set()
    for _, tree in trees(*without):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            elif isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.ImportFrom):
                found.update(alias.name for alias in node.names)
    return found


def test_every_option_of_a_mount_is_read_by_somebody() -> None:
    """What ``features`` announces is done."""
    unread = set(MountOptions.__slots__) - names_read(*OF_TABLES)
    assert not unread
    assert set(MOUNT_ACTIONS.values()) <= set(MountOptions.__slots__)


def test_every_table_is_read_by_somebody_who_does_something() -> None:
    """But the kinds of hooks, each of which is run at a place of its own."""
    unread = set(VOCABULARIES) - names_read("spec/tables.py", "features.py")
    assert sorted(unread - {"HOOKS"}) == []


def second_tables(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
            for name, words in VOCABULARIES.items():
                common = len(keys & words)
                if common >= MANY and 2 * common >= len(words) and max(map(len, words)) > 1:
                    yield node.lineno, name


@pytest.mark.parametrize("part", sorted({path.parent.name for path in PACKAGE.rglob("*.py")}))
def test_no_vocabulary_has_a_second_table(part: str) -> None:
    found = [
        f"{name}:{line}: {vocabulary}"
        for name, tree in trees("spec/tables.py", COMPILED)
        if (PACKAGE / name).parent.name == part
        for line, vocabulary in second_tables(tree)
    ]
    assert found == []


"""What comments, docstrings and pages speak of is there: files, modules and their names; and
neither a docstring nor a table has lost its form.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import ociruntime
from tests.support.checkout import CHECKOUT, tracked

PACKAGE = CHECKOUT / "ociruntime"
# Where a path may begin: in the checkout, or as the package's own files call one another.
ROOTS = [CHECKOUT / name for name in ("", "ociruntime", "native", "tests", "conformance")]
# A path with a directory of ours and a name with an ending.
FILE = re.compile(r"(?<![\w./~}>-])((?:[\w-]+/)+[\w*-]+\.(?:py|c|h|md|json|toml|txt|sh))\b(?!/)")
# ``part.module`` or ``part.module.name`` of the package.
NAME = re.compile(r"``((?:[a-z_]+\.)+[A-Za-z_]+)``")
# What is not ours: paths in rootfs, bundles, other projects; made by the build or by its user.
FOREIGN = (
    "DIRECTORY/", "ROOT/", "a/", "b/", "asm/", "asm-generic/", "build/", "bundle/", "dev/", "etc/",
    "fs/", "kernel/fork.c", "kernel/seccomp.c", "linux/", "sys/", "proc/", "rootfs/",
)  # fmt: skip
# A row of a table behind the words of the row before: a reflow took it for a paragraph.
GLUED = re.compile(r" *(?:[a-z]+ ){3,}.*[^\s.:;] {2,}\S")
# Of config.json, not of the package.
PROPERTIES = ("process.",)


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """(line, docstring) of a Python file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text_ = ast.get_docstring(node, clean=False)
            if text_:
                yield node.body[0].lineno, text_


def words(path: Path) -> str:
    """What a file says to people: all of a page; comments and docstrings of a program."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        comments = re.findall(r"(?m)(?:^|\s)#\s(.*)$", text)
        return "\n".join([*comments, *(said for _, said in docstrings(text))])
    if path.suffix in (".c", ".h"):
        return "\n".join(re.findall(r"(?s)/\*.*?\*/", text))
    return text


def damage(docstring: str) -> str:
    """The line that a reflow has left in the wrong place; "" for none."""
    first, _, rest = docstring.partition("\n")
    margins = [len(line) - len(line.lstrip()) for line in rest.split("\n") if line.strip()]
    margin = min((size for size in margins if size % 4 == 0), default=0)
    for line in (first, *(line[margin:] for line in rest.split("\n"))):
        if re.match(r" \S", line) or GLUED.match(line):
            return line
    return ""


def at(path: Path, *said: object) -> str:
    return " ".join(map(str, (path.relative_to(CHECKOUT), *said)))


def test_files_are_there() -> None:
    texts = tracked("ociruntime/*.py", "native/*", "docs/*.md", "*.md", "conformance/*.py")
    missing = [
        at(path, name)
        for path in texts
        for name in FILE.findall(words(path))
        if not name.startswith(FOREIGN) and not any([*root.glob(name)] for root in ROOTS)
    ]
    assert missing == []


def test_names_are_there() -> None:
    parts = {entry.stem for entry in PACKAGE.iterdir() if entry.suffix != ".pyc"}
    lost = [
        at(path, name)
        for path in tracked("ociruntime/*.py")
        for _, said in docstrings(path.read_text(encoding="utf-8"))
        for name in sorted(set(NAME.findall(said)))
        if name.split(".")[0] in parts and not name.startswith(PROPERTIES) and not resolves(name)
    ]
    assert lost == []


def resolves(name: str) -> bool:
    """Whether the package has a module of this name, or one that has the rest of it."""
    owner: object = ociruntime
    dotted = "ociruntime"
    for part in name.split("."):
        dotted += f".{part}"
        if hasattr(owner, "__path__") and find_spec(dotted) is not None:
            owner = importlib.import_module(dotted)
        elif hasattr(owner, part):
            owner = getattr(owner, part)
        else:
            return False
    return True


def test_docstrings_have_their_form() -> None:
    assert [
        at(path, line, damage(said))
        for path in tracked("*.py")
        for line, said in docstrings(path.read_text(encoding="utf-8"))
        if damage(said)
    ] == []


def test_tables_have_their_form() -> None:
    """Each row has as many cells as the line below the head."""
    for path in tracked("*.md"):
        text = re.sub(r"(?ms)^```.*?^```", "", path.read_text(encoding="utf-8"))
        for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
            rows = [re.sub(r"`[^`]*`|\\\|", "", row).count("|") for row in table.splitlines()]
            assert len(rows) > 1, at(path, table)
            assert re.fullmatch(r"\|[ :|-]+\|", table.splitlines()[1]), at(path, table)
            assert set(rows) == {rows[1]}, at(path, table)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\n Sources: b", " Sources: b"),
        ("a\n b\nc", " b"),
        (" a", " a"),
        ("a\n\n    b\n  c\n", ""),
        ("a\n\n    b  c\n    and what it is for d  e\n", "and what it is for d  e"),
        ("a\n\n    b    c\n    d e  f\n", ""),
        ("a\nb", ""),
    ],
)
def test_a_damaged_docstring_is_found(text: str, found: str) -> None:
    assert damage(text) == found

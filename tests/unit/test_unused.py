"""What the package defines is read somewhere in the package: no function without a caller, no field
that is only written, no word of a vocabulary that nobody knows.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
READERS = ("ociruntime/**/*.py", "manual/*.py", "native/*.py")
# The other side of a protocol: a number that has its name there is read there.
NATIVE = ("native/*.c", "native/*.h")
# What others than this package read, each by its file and the reason.
READ_ELSEWHERE = {
    "ociruntime/bundle.py": {  # the C scanner of the standard library
        "object_hook",
        "object_pairs_hook",
        "parse_constant",
        "parse_float",
        "parse_int",
    },
    "ociruntime/cgroups/systemd/bus.py": {"_filters", "unique_name"},  # jeepney, of a connection
    "ociruntime/kernel/libseccomp.py": {"_fields_"},  # ctypes
    # Programs: docs/api.md.
    "ociruntime/library/aio.py": {"add_mounts", "remove_mounts"},
    "ociruntime/library/container.py": {"add_mounts", "oci_version", "remove_mounts"},
    "ociruntime/library/options.py": {  # type checkers, of what programs give
        "auto_dedup",
        "ext_unix_sk",
        "link_remap",
        "page_server",
        "shell_job",
        "tcp_close",
        "tcp_skip_in_flight",
    },
    "ociruntime/pytest_plugin.py": {"pytest_addoption", "pytest_runtest_makereport"},  # pytest
    "ociruntime/top/app.py": {  # textual
        "BINDINGS",
        "TITLE",
        "action_plan",
        "action_processes",
        "action_sort",
        "compose",
        "on_mount",
        "sub_title",
    },
}
# A text of nothing but names may be where a name is read: getattr, tables of modules.
NAMES = re.compile(r"[A-Za-z_][\w.]*")


class File:
    """What one file defines (name -> line) and how often it reads which names."""

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.defined: dict[str, int] = {}
        self.read: Counter[str] = Counter()
        self._define(tree.body)
        slots = {id(inner) for value in slots_of(tree) for inner in ast.walk(value)}
        for node in ast.walk(tree):
            self._read(node, in_slots=id(node) in slots)

    def _define(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.defined.setdefault(node.name, node.lineno)
            elif isinstance(node, ast.ClassDef):
                self.defined.setdefault(node.name, node.lineno)
                self._define(node.body)
            elif isinstance(node, (ast.If, ast.Try)):
                self._define(node.body)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                # Not of a tuple: a vocabulary that is counted has its gaps.
                self.defined.setdefault(node.targets[0].id, node.lineno)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.defined.setdefault(node.target.id, node.lineno)

    def _read(self, node: ast.AST, *, in_slots: bool) -> None:
        if isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Load):
                self.read[node.attr] += 1
            elif isinstance(node.value, ast.Name) and node.value.id == "self":
                self.defined.setdefault(node.attr, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.read[node.id] += 1
        elif not in_slots and isinstance(node, ast.Constant):
            text = node.value if isinstance(node.value, str) else ""
            self.read.update(text.split(".") if NAMES.fullmatch(text) else ())


def slots_of(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            yield node.value


def unread(root: Path) -> list[str]:
    """``FILE:LINE NAME`` of what nobody reads."""
    read: Counter[str] = Counter()
    defined: dict[str, list[str]] = defaultdict(list)
    for path in (path for pattern in READERS for path in root.glob(pattern)):
        name = str(path.relative_to(root))
        file = File(path.read_text(encoding="utf-8"))
        read += file.read
        for word, line in file.defined.items():
            if name.startswith("ociruntime/") and word not in READ_ELSEWHERE.get(name, ()):
                defined[word].append(f"{name}:{line} {word}")
    for path in (path for pattern in NATIVE for path in root.glob(pattern)):
        read.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return sorted(
        place
        for word, places in defined.items()
        if not read[word] and not word.startswith("__")
        for place in places
    )


def test_everything_is_read_somewhere() -> None:
    assert unread(CHECKOUT) == []


def test_what_others_read_is_there() -> None:
    for name, words in READ_ELSEWHERE.items():
        assert words <= File((CHECKOUT / name).read_text(encoding="utf-8")).defined.keys()


def test_what_nobody_reads_is_found(tmp_path: Path) -> None:
    package = tmp_path / "ociruntime"
    package.mkdir()
    (package / "a.py").write_text(
        "UNUSED = 1\nUSED = 2\n\ndef unused():\n    return USED\n\nclass Used:\n"
        '    __slots__ = ("read", "written")\n\n    def __init__(self):\n'
        "        self.read = self.written = 1\n\n"
        "    def method(self):\n        return self.read\n\n"
        'VALUE = Used().written_elsewhere\ngetattr(VALUE, "by_name")\n\ndef by_name(): ...\n'
    )
    assert unread(tmp_path) == [
        "ociruntime/a.py:1 UNUSED",
        "ociruntime/a.py:11 written",
        "ociruntime/a.py:13 method",
        "ociruntime/a.py:4 unused",
    ]

"""What the package defines is read somewhere in the package: no function without a caller, no field
that is only written, no word of a vocabulary that nobody knows.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# By what may read it beside itself, word for word, if it names the part. Programs in C are the
# other side of a protocol: a number that has its name there is read there.
READERS = {
    "ociruntime": ("manual/*.py", "native/*.py", "native/*.[ch]"),
    "conformance": ("tests/**/*.py",),
    "tests/support": ("tests/**/*.py", "benchmarks/*.py"),
}
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
    "ociruntime/library/aio.py": {"add_mounts", "communicate", "remove_mounts"},
    "ociruntime/library/aioprocess.py": {"communicate", "send_signal"},
    "ociruntime/library/aiostreams.py": {"communicate"},
    "ociruntime/library/bundle.py": {"temporary"},
    "ociruntime/library/container.py": {
        "add_mounts",
        "communicate",
        "oci_version",
        "remove_mounts",
    },
    "ociruntime/library/options.py": {  # type checkers, of what programs give
        "auto_dedup",
        "ext_unix_sk",
        "link_remap",
        "page_server",
        "shell_job",
        "tcp_close",
        "tcp_skip_in_flight",
    },
    "ociruntime/library/process.py": {"communicate", "send_signal"},
    "ociruntime/process/identity.py": {"all_cpus"},  # kernel.block, with all of its `members`
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
    "tests/support/engines/registry.py": {"do_GET", "do_HEAD"},  # http.server
    "tests/support/model/recorder.py": {"ends_within"},  # the package, of its kernel
}
# Called by the one who has asked for them: a test of conformance/ by its runner, a system call of
# the model by its name.
REGISTERED, BY_NUMBER = "check", "_do_"
# A text of nothing but names may be where a name is read: getattr, tables of modules.
NAMES = re.compile(r"ociruntime[\w.]*|[A-Za-z_]\w*")
WORD = re.compile(r"[A-Za-z_]\w*")


class File:
    """What one file defines (name -> line), and how often it reads which names: of its own, of
    others that it imports, as attributes of anything, and in texts.
    """

    def __init__(self, text: str) -> None:
        tree = ast.parse(text)
        self.defined: dict[str, int] = {}
        self.own: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self._define(tree.body)
        slots = {id(inner) for value in slots_of(tree) for inner in ast.walk(value)}
        for node in ast.walk(tree):
            self._read(node, in_slots=id(node) in slots)

    def _define(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if not is_registered(node):
                    self.defined.setdefault(node.name, node.lineno)
                self._forget_recursion(node)
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

    def _forget_recursion(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Who calls itself, or the same of another object, is not called by anybody yet."""
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == function.name:
                self.own[node.id] -= isinstance(node.ctx, ast.Load)
            elif isinstance(node, ast.Attribute) and node.attr == function.name:
                self.others[node.attr] -= isinstance(node.ctx, ast.Load)

    def _read(self, node: ast.AST, *, in_slots: bool) -> None:
        if isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Load):
                self.others[node.attr] += 1
            elif isinstance(node.value, ast.Name) and node.value.id == "self":
                self.defined.setdefault(node.attr, node.lineno)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.own[node.id] += 1
        elif isinstance(node, ast.ImportFrom):
            self.others.update(alias.name for alias in node.names)
        elif not in_slots and isinstance(node, ast.Constant):
            text = node.value if isinstance(node.value, str) else ""
            self.others.update(text.split(".") if NAMES.fullmatch(text) else ())


def is_registered(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(made, ast.Call) and getattr(made.func, "id", "") == REGISTERED
        for made in function.decorator_list
    )


def slots_of(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            yield node.value


def unread(root: Path, part: str) -> list[str]:
    """``FILE:LINE NAME`` of what is defined in ``part`` and nobody reads."""
    files = {
        str(path.relative_to(root)): File(path.read_text(encoding="utf-8"))
        for path in (root / part).rglob("*.py")
    }
    read: Counter[str] = Counter()
    for file in files.values():
        read.update(file.others)
    for path in (path for pattern in READERS[part] for path in root.glob(pattern)):
        text = path.read_text(encoding="utf-8")
        imports = part.replace("/", ".") in text or path.suffix != ".py"
        if imports and str(path.relative_to(root)) not in files:
            read.update(WORD.findall(text))
    return sorted(
        f"{name}:{line} {word}"
        for name, file in files.items()
        for word, line in file.defined.items()
        if word not in READ_ELSEWHERE.get(name, ()) and not word.startswith(("__", BY_NUMBER))
        if file.own[word] + read[word] <= 0
    )


@pytest.mark.parametrize("part", READERS)
def test_everything_is_read_somewhere(part: str) -> None:
    assert unread(CHECKOUT, part) == []


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
    (package / "b.py").write_text(
        "from ociruntime.a import imported\n\ndef recursive():\n    recursive()\n\n"
        "class Outer:\n    def forwarded(self):\n        self.inner.forwarded()\n\n"
        'unused = imported(Outer().inner, "x.member")\nprint(unused)\n'
    )
    (package / "c.py").write_text("def imported(): ...\n\ndef member(): ...\n")
    assert unread(tmp_path, "ociruntime") == [
        "ociruntime/a.py:1 UNUSED",
        "ociruntime/a.py:11 written",
        "ociruntime/a.py:13 method",
        "ociruntime/a.py:4 unused",
        "ociruntime/b.py:3 recursive",
        "ociruntime/b.py:7 forwarded",
        "ociruntime/c.py:3 member",
    ]

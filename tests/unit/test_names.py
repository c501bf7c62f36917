"""A name of a class means one thing in the whole product."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

# Names that two or three classes have, and why.
SHARED = {
    # What programs see of `ociruntime.api` has the field's words; behind it, in a process of its
    # own, is the thing itself.
    "Container": {"library/container.py", "state/store.py"},
    "Fault": {"library/bundle.py", "spec/fault.py"},
    "Process": {"library/process.py", "shim/task.py"},
    # The options of `checkpoint` and `restore`: as keywords of the library, for type checkers, and
    # as the command has them.
    "CheckpointOptions": {"checkpoint/options.py", "library/options.py"},
    "CriuOptions": {"checkpoint/options.py", "library/options.py"},
    "RestoreOptions": {"checkpoint/options.py", "library/options.py"},
    # Of files that say which: a lock of coroutines and one of processes; what CRIU is told of
    # standard streams, and those that the shim relays.
    "Lock": {"resident/loop.py", "shim/shared.py"},
    "Streams": {"checkpoint/streams.py", "shim/stdio.py"},
}


def classes(root: Path) -> dict[str, set[str]]:
    """The files, below ``root``, of each class that is not inside of something."""
    found = defaultdict(set)
    for path in root.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].add(str(path.relative_to(root)))
    return found


def test_a_name_of_a_class_means_one_thing() -> None:
    twice = {
        name: files for name, files in classes(CHECKOUT / "ociruntime").items() if len(files) > 1
    }
    assert twice == SHARED


def undeclared(program: str) -> list[str]:
    """Descriptors of a run that a program calls by a text: a typing error in it would be found when
    a container is made, and not before.
    """
    found = []
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Subscript):
            held, name = node.value, node.slice
        elif isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute):
            held, name = node.func.value, node.args[0]
        else:
            continue
        text = isinstance(name, ast.JoinedStr) or type(getattr(name, "value", None)) is str
        if text and ast.unparse(held) in ("fds", "run.fds", "run.mounts"):
            found.append(ast.unparse(node))
    return found


def test_descriptors_of_a_run_have_declared_names() -> None:
    parts = ("process", "steps", "plan", "lifecycle", "checkpoint")
    assert [
        f"{path.name}: {found}"
        for part in parts
        for path in (CHECKOUT / "ociruntime" / part).rglob("*.py")
        for found in undeclared(path.read_text(encoding="utf-8"))
    ] == []


def test_it_sees_a_name_that_is_not_declared() -> None:
    text = 'fds[X] = fds["x"] = run.fds.get(f"x:{y}", -1) + run.mounts.pop("z") + fds.get(X)'
    assert undeclared(text) == ["fds['x']", "run.fds.get(f'x:{y}', -1)", "run.mounts.pop('z')"]


def test_it_sees_a_second_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("class Thing:\n    class Inner: pass\n")
    assert classes(tmp_path) == {"Thing": {"one.py", "two.py"}}

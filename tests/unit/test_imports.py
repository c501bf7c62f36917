"""Imports lead in one direction (docs/architecture.md, "One direction"): what is below knows
nothing of what is above, and no file leads back to itself.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGE = "ociruntime"

# From below. A module imports from lines above its own; those of one line do not know one another.
ORDER = """
errors
hostos
absence clock digest jsontext logsink protobuf screen similar
arguments jsonplaces log
bundle
kernel
startup
spec
cgroups seccomp
features state
process
steps
plan
lifecycle
checkpoint metrics network
zygote
library shim
api doctor top trace
cli
__main__ pytest_plugin warmup
"""

RUNS, TYPES, NAMES = "runs", "types", "names"


class Module:
    """One file: its dotted name, and which others it imports, for what it ``RUNS`` (on import, or
    later in a function) or for its ``TYPES``, or ``NAMES`` in a text (for ``__import__``).
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.imports: dict[str, set[str]] = {RUNS: set(), TYPES: set(), NAMES: set()}

    @property
    def place(self) -> str:
        """The part of the package that it belongs to."""
        return self.name.split(".")[1]

    def read(self, known: set[str]) -> None:
        """Fill ``imports`` with those of ``known``."""
        for_types = {
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
            for statement in node.body
            for inner in ast.walk(statement)
        }
        for node in ast.walk(self.tree):
            kind = TYPES if id(node) in for_types else RUNS
            kind = NAMES if isinstance(node, ast.Constant) else kind
            self.imports[kind] |= named(node, known)


def named(node: ast.AST, known: set[str]) -> set[str]:
    """The modules among ``known`` that a node may import."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & known
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports have no place in the package"
        parts = {f"{node.module}.{alias.name}" for alias in node.names}
        return parts & known | ({str(node.module)} & known if parts - known else set())
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value} & known
    return set()


def read_package(root: Path) -> dict[str, Module]:
    """Every module below ``root``/ociruntime by its name, but for the empty top."""
    modules = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if name != PACKAGE:
            modules[name] = Module(name, path)
    for module in modules.values():
        module.read(set(modules))
    return modules


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_package(CHECKOUT)


def ranks() -> dict[str, int]:
    return {name: rank for rank, line in enumerate(ORDER.split("\n")) for name in line.split()}


def arrows_up(modules: dict[str, Module]) -> list[str]:
    """Imports of a part that is not below."""
    rank = ranks()
    return [
        f"{module.name} -> {other}"
        for module in modules.values()
        for other in sorted(set().union(*module.imports.values()))
        if (place := modules[other].place) != module.place and rank[place] >= rank[module.place]
    ]


def circles(modules: dict[str, Module]) -> list[list[str]]:
    """Files that lead back to themselves by what they run, each circle once."""
    graph = {name: set(module.imports[RUNS]) for name, module in modules.items()}
    # What needs nothing that is left is in no circle, and neither is what nobody left needs.
    while True:
        needed = set().union(*graph.values())
        free = {name for name, others in graph.items() if not others or name not in needed}
        if not free:
            break
        graph = {name: others - free for name, others in graph.items() if name not in free}
    return [sorted({name, *others}) for name, others in graph.items()]


def test_every_part_has_its_place(modules: dict[str, Module]) -> None:
    assert {module.place for module in modules.values()} == set(ranks())


def test_no_import_leads_up(modules: dict[str, Module]) -> None:
    assert arrows_up(modules) == []


def test_no_file_leads_back_to_itself(modules: dict[str, Module]) -> None:
    assert circles(modules) == []


def test_the_page_shows_the_same_order() -> None:
    page = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
    lines = [f"    {line}" for line in ORDER.strip().split("\n")]
    assert "\n".join(lines) in page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from ociruntime.cli import main", "ociruntime.kernel.low -> ociruntime.cli.main"),
        ("import ociruntime.cli.main", "ociruntime.kernel.low -> ociruntime.cli.main"),
        (
            "def f():\n    from ociruntime.cli.main import run",
            "ociruntime.kernel.low -> ociruntime.cli.main",
        ),
        ("WARM = 'ociruntime.cli.main'", "ociruntime.kernel.low -> ociruntime.cli.main"),
        (
            "if TYPE_CHECKING:\n    from ociruntime.cli.main import T",
            "ociruntime.kernel.low -> ociruntime.cli.main",
        ),
    ],
)
def test_it_sees_each_way_to_import(tmp_path: Path, text: str, said: str) -> None:
    for name, content in {"kernel/low": text, "cli/main": "run = T = 1"}.items():
        path = tmp_path / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    assert arrows_up(read_package(tmp_path)) == [said]


def test_it_sees_a_circle_of_three(tmp_path: Path) -> None:
    directory = tmp_path / PACKAGE / "kernel"
    directory.mkdir(parents=True)
    for name, other in {"a": "b", "b": "c", "c": "a", "d": "a"}.items():
        text = f"def f():\n    from ociruntime.kernel.{other} import f"
        (directory / f"{name}.py").write_text(text)
    found = {name for circle in circles(read_package(tmp_path)) for name in circle}
    assert found == {f"ociruntime.kernel.{name}" for name in "abc"}

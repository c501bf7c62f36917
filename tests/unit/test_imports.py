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
resident
zygote
library shim
api doctor top trace
cli
__main__ pytest_plugin warmup
"""

# The same inside of a part: folders and files of it from below, "rest" is what is not named.
ORDER_INSIDE = {
    "cgroups": """
rest
v2
v1
systemd
hybrid
resources stats
update
__init__
"""
}

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

    @property
    def room(self) -> str:
        """The folder or file inside of that part."""
        return [*self.name.split("."), "__init__"][2]

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
    for path in sorted((root / PACKAGE).rglob("*.py*")):
        if path.suffix not in (".py", ".pyi"):
            continue
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if name != PACKAGE:
            modules[name] = Module(name, path)
    for module in modules.values():
        module.read(set(modules))
    return modules


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_package(CHECKOUT)


def ranks(order: str = ORDER) -> dict[str, int]:
    return {name: rank for rank, line in enumerate(order.split("\n")) for name in line.split()}


def arrows_up(modules: dict[str, Module]) -> list[str]:
    """Imports of a part that is not below."""
    rank = ranks()
    return [
        f"{module.name} -> {other}"
        for module in modules.values()
        for other in sorted(set().union(*module.imports.values()))
        if (place := modules[other].place) != module.place and rank[place] >= rank[module.place]
    ]


def arrows_up_inside(modules: dict[str, Module]) -> list[str]:
    """Imports inside of a part of a room that is not below."""
    found = []
    for place, order in ORDER_INSIDE.items():
        rank = ranks(order)
        inside = {name: module for name, module in modules.items() if module.place == place}
        for module in inside.values():
            here = rank.get(module.room, rank["rest"])
            for other in sorted(set().union(*module.imports.values()) & set(inside)):
                there = inside[other].room
                both_rest = module.room not in rank and there not in rank
                if there == module.room or both_rest:
                    continue
                if rank.get(there, rank["rest"]) >= here:
                    found.append(f"{module.name} -> {other}")
    return found


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


def test_no_import_inside_of_a_part_leads_up(modules: dict[str, Module]) -> None:
    for place, order in ORDER_INSIDE.items():
        rooms = {module.room for module in modules.values() if module.place == place}
        assert set(ranks(order)) - {"rest"} <= rooms
    assert arrows_up_inside(modules) == []


def test_no_file_leads_back_to_itself(modules: dict[str, Module]) -> None:
    assert circles(modules) == []


def test_the_page_shows_the_same_order() -> None:
    page = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
    lines = [f"    {line}" for line in ORDER.strip().split("\n")]
    assert "\n".join(lines) in page
    for place, order in ORDER_INSIDE.items():
        first, *others = order.strip().split("\n")
        lines = [f"    ociruntime.{place}: the {first}", *(f"    {line}" for line in others)]
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


@pytest.mark.parametrize(
    ("low", "text", "said"),
    [
        ("tree", "from ociruntime.cgroups.v1.group import f", True),
        ("v2/group", "def f():\n    from ociruntime.cgroups.v1.group import f", True),
        ("v2/group", "from ociruntime.cgroups import f", True),
        ("resources", "from ociruntime.cgroups.stats import f", True),
        ("v1/group", "from ociruntime.cgroups.v1.stats import f", False),
        ("tree", "from ociruntime.cgroups.files import f", False),
        ("update", "from ociruntime.cgroups.v1.stats import f", False),
    ],
)
def test_it_sees_what_leads_up_inside(tmp_path: Path, low: str, text: str, said: bool) -> None:
    names = ("__init__", "files", "stats", "v1/group", "v1/stats")
    for name, content in {**dict.fromkeys(names, "def f(): pass"), low: text}.items():
        path = tmp_path / PACKAGE / "cgroups" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert bool(arrows_up_inside(read_package(tmp_path))) == said


def test_it_sees_a_circle_of_three(tmp_path: Path) -> None:
    directory = tmp_path / PACKAGE / "kernel"
    directory.mkdir(parents=True)
    for name, other in {"a": "b", "b": "c", "c": "a", "d": "a"}.items():
        text = f"def f():\n    from ociruntime.kernel.{other} import f"
        (directory / f"{name}.py").write_text(text)
    found = {name for circle in circles(read_package(tmp_path)) for name in circle}
    assert found == {f"ociruntime.kernel.{name}" for name in "abc"}

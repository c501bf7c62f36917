"""Writes a C table of frozen modules (struct _frozen) to standard output.

    freeze.py [PACKAGE_DIRECTORY]

Frozen are the launcher's bootstrap, what every start of Python would import from files, and all
modules of the package when its directory is given, with the closure of imports of each. To be run
by the very interpreter that the launcher will load: bytecode belongs to one version.
"""

import __future__

import ast
import encodings
import encodings.aliases
import encodings.utf_8
import marshal
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STANDARD = (__future__, encodings, encodings.aliases, encodings.utf_8)
BOOTSTRAP = "_ociruntime_bootstrap"
CLOSURES = "_ociruntime_closures"
BYTES_PER_LINE = 24
OCTAL = [f"\\{byte:03o}" for byte in range(256)]
# Commands by their weight, lightest first, each with what it loads while it runs.
HOT = (
    "ociruntime.cli.main",
    "ociruntime.cli.state",
    "ociruntime.cli.start",
    "ociruntime.cli.kill",
    "ociruntime.cli.delete",
    "ociruntime.cli.run",
    "ociruntime.cli.exec",
)
# What the modules in a start image may import of the standard library, whether the interpreter has
# it built in or as a file: nothing that reads the environment, an id, a clock or a file when it is
# imported. Both names of what has two.
LIBRARY = (
    "__future__",
    "_blake2",
    "_imp",
    "_json",
    "_posixsubprocess",
    "_sha2",
    "_sha256",
    "_socket",
    "_struct",
    "binascii",
    "builtins",
    "errno",
    "fcntl",
    "gc",
    "marshal",
    "math",
    "posix",
    "select",
    "sys",
    "time",
)
# Modules that read annotations at run time keep them.
ANNOTATION_READERS = {"dataclasses", "typing", "ctypes"}


class Source:
    """One module of the package: its tree as Python will run it, and what it imports of us."""

    def __init__(self, name: str, path: str, filename: str, *, is_package: bool) -> None:
        self.name = name
        self.filename = filename
        self.is_package = is_package
        with open(path, encoding="utf-8") as file:
            tree = ast.parse(file.read(), filename)
        if not any(module in ANNOTATION_READERS for module in imported_roots(tree)):
            tree = ast.fix_missing_locations(Lean().visit(tree))
        self.tree = tree

    def data(self) -> bytes:
        """The marshalled code.

        Without docstrings a third less is read at every start; `optimize` also drops assertions,
        which in this package are for the type checker.
        """
        code = compile(self.tree, self.filename, "exec", dont_inherit=True, optimize=2)
        return marshal.dumps(code)

    def needs(self, known: "dict[str, Source]") -> list[str]:
        """The modules of ours that running this one imports, in order."""
        found = []
        for node in at_import(self.tree):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
                if any(module not in known for module in modules):
                    found.append(node.module)
                found += modules
        return [name for name in found if name in known and name != self.name]


def at_import(tree: ast.Module) -> list[ast.stmt]:
    """The statements that run when the module is imported, but for those in `if TYPE_CHECKING`."""
    waiting: list[ast.stmt] = list(tree.body)
    found = []
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.If) and is_type_checking(node.test):
            continue
        found.append(node)
        if isinstance(node, (ast.If, ast.Try)):
            waiting[:0] = [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)
            ]
    return found


def imported_roots(tree: ast.Module) -> set[str]:
    """The top packages that importing the module imports."""
    roots = set()
    for node in at_import(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.partition(".")[0])
    return roots


def is_type_checking(node: ast.expr) -> bool:
    """Whether this is the name that only type checkers find true."""
    return isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"


class Lean(ast.NodeTransformer):
    """Drops what only people and type checkers read: annotations, and imports for them."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        """Drop the imports of compiler directives."""
        return None if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Drop `if TYPE_CHECKING:`."""
        return None if is_type_checking(node.test) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Drop a parameter's type."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Drop the type of the result."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Drop the type of the result."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        """Keep the value."""
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        assign = ast.Assign(targets=[node.target], value=node.value)
        return self.generic_visit(ast.copy_location(assign, node))  # type: ignore[return-value]


def package_sources(directory: str) -> dict[str, Source]:
    """Every module below `directory` by its name."""
    parent = os.path.dirname(os.path.abspath(directory))
    found = []
    for place, names, files in os.walk(directory):
        names[:] = [name for name in names if name != "__pycache__"]
        dotted = os.path.relpath(place, parent).replace(os.sep, ".")
        for file in files:
            path = os.path.join(place, file)
            relative = os.path.relpath(path, parent)
            if file == "__init__.py":
                found.append(Source(dotted, path, relative, is_package=True))
            elif file.endswith(".py"):
                found.append(Source(f"{dotted}.{file[:-3]}", path, relative, is_package=False))
    return {source.name: source for source in sorted(found, key=lambda source: source.name)}


def closure(name: str, sources: dict[str, Source]) -> tuple[str, ...]:
    """What must be loaded before `name`, each module behind those that it needs itself."""
    order: list[str] = []
    path: list[str] = []

    def visit(module: str) -> None:
        if module in order:
            return
        if module in path:
            raise SystemExit(f"modules import one another: {' -> '.join([*path, module])}")
        path.append(module)
        for needed in sources[module].needs(sources):
            visit(needed)
        path.pop()
        order.append(module)

    visit(name)
    for module in order:  # it grows meanwhile
        parent = module.rpartition(".")[0]
        if parent:
            visit(parent)
    return tuple(module for module in order if module != name)


def image_modules(sources: dict[str, Source], closures: dict[str, tuple[str, ...]]) -> list[str]:
    """Modules that need nothing but ours and LIBRARY, in the order in which an image loads them.

    Those that the same commands use come together: their objects then lie on the same pages, and a
    command copies fewer of them.
    """
    known = {"ociruntime", *LIBRARY}
    foreign = {
        name
        for name, source in sources.items()
        if any(root not in known for root in imported_roots(source.tree))
    }
    order = dict.fromkeys(
        name for first in (*HOT, *sources) if first in sources for name in (*closures[first], first)
    )
    return [name for name in order if not foreign & {name, *closures[name]}]


def file_code(path: str, filename: str) -> bytes:
    """The marshalled code of the source at `path`, as if it were called `filename`."""
    with open(path, encoding="utf-8") as source:
        return marshal.dumps(
            compile(source.read(), filename, "exec", dont_inherit=True, optimize=2)
        )


def main(arguments: list[str]) -> int:
    """Print the table for `arguments`."""
    modules = [(BOOTSTRAP, file_code(f"{HERE}/bootstrap.py", "<bootstrap.py>"), False)]
    for module in STANDARD:
        path = str(module.__file__)
        modules.append((module.__name__, file_code(path, path), hasattr(module, "__path__")))
    sources = package_sources(arguments[0]) if arguments else {}
    modules += [(name, source.data(), source.is_package) for name, source in sources.items()]
    closures = {name: closure(name, sources) for name in sources}
    text = f"CLOSURES = {closures!r}\nPRELOAD = {image_modules(sources, closures)!r}"
    modules.append((CLOSURES, marshal.dumps(compile(text, CLOSURES, "exec")), False))

    for number, (name, data, _) in enumerate(modules):
        # A compiler reads strings ten times as fast as lists of numbers.
        print(f"/* {name} */\nstatic const unsigned char code_{number}[] =")
        for start in range(0, len(data), BYTES_PER_LINE):
            print(f'    "{"".join(OCTAL[byte] for byte in data[start : start + BYTES_PER_LINE])}"')
        print("    ;")
    print("static const struct _frozen frozen_modules[] = {")
    for number, (name, data, is_package) in enumerate(modules):
        print(
            f'    {{.name = "{name}", .code = code_{number}, .size = {len(data)},'
            f" .is_package = {int(is_package)}}},"
        )
    print("    {.name = NULL},\n};")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

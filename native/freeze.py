"""Writes a C table of frozen modules (struct _frozen) to standard output.

    freeze.py [PACKAGE_DIRECTORY]

Frozen are the launcher's bootstrap, what every start of Python would import from files, a small
stand-in for encodings.aliases (aliases.py), and all modules of the package when its directory is
given. To be run by the very interpreter that the launcher will load: bytecode belongs to one
version.
"""

import __future__

import encodings
import encodings.utf_8
import marshal
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STANDARD = (__future__, encodings, encodings.utf_8)
OWN = {
    "_ociruntime_bootstrap": "bootstrap.py",
    "encodings.aliases": "aliases.py",
}
BYTES_PER_LINE = 20


def package_modules(directory: str) -> list[tuple[str, str, bool]]:
    """(name, path, is_package) of every module below `directory`, sorted by name."""
    parent = os.path.dirname(os.path.abspath(directory))
    found = []
    for place, names, files in os.walk(directory):
        names[:] = [name for name in names if name != "__pycache__"]
        dotted = os.path.relpath(place, parent).replace(os.sep, ".")
        for file in files:
            if file == "__init__.py":
                found.append((dotted, os.path.join(place, file), True))
            elif file.endswith(".py"):
                found.append((f"{dotted}.{file[:-3]}", os.path.join(place, file), False))
    return sorted(found)


def code_bytes(path: str, filename: str) -> bytes:
    """The marshalled code of the source at `path`, as if it were called `filename`."""
    with open(path, encoding="utf-8") as source:
        # Without docstrings a third less is read at every start; `optimize` also drops assertions,
        # which in this package are for the type checker.
        code = compile(source.read(), filename, "exec", dont_inherit=True, optimize=2)
        return marshal.dumps(code)


def main(arguments: list[str]) -> int:
    """Print the table for `arguments`."""
    modules = [(name, f"{HERE}/{path}", False, f"<{path}>") for name, path in OWN.items()]
    for module in STANDARD:
        is_package = hasattr(module, "__path__")
        path = str(module.__file__)
        modules.append((module.__name__, path, is_package, path))
    if arguments:
        parent = os.path.dirname(os.path.abspath(arguments[0]))
        for name, path, is_package in package_modules(arguments[0]):
            modules.append((name, path, is_package, os.path.relpath(path, parent)))

    for number, (name, path, _, filename) in enumerate(modules):
        data = code_bytes(path, filename)
        print(f"/* {name} */\nstatic const unsigned char code_{number}[] = {{")
        for start in range(0, len(data), BYTES_PER_LINE):
            print(",".join(str(byte) for byte in data[start : start + BYTES_PER_LINE]) + ",")
        print("};")
    print("static const struct _frozen frozen_modules[] = {")
    for number, (name, _, is_package, _) in enumerate(modules):
        print(
            f'    {{.name = "{name}", .code = code_{number}, .size = sizeof code_{number},'
            f" .is_package = {int(is_package)}}},"
        )
    print("    {.name = NULL},\n};")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

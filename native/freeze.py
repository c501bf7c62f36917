"""Writes a C table of frozen modules (struct _frozen) to standard output.

    freeze.py BOOTSTRAP [PACKAGE_DIRECTORY]

Frozen are the launcher's bootstrap, the modules of the standard library that every start of
Python imports from files, and all modules of the package when its directory is given. To be run
by the very interpreter that the launcher will load: bytecode belongs to one version.
"""

import encodings
import encodings.aliases
import encodings.utf_8
import marshal
import os
import sys

STARTUP = (encodings, encodings.aliases, encodings.utf_8)
BYTES_PER_LINE = 20


def package_modules(directory):
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


def code_bytes(path, filename):
    """The marshalled code of the source at `path`, as if it were called `filename`."""
    with open(path, encoding="utf-8") as source:
        return marshal.dumps(compile(source.read(), filename, "exec", dont_inherit=True))


def main(arguments):
    """Print the table for `arguments`."""
    modules = [("_ociruntime_bootstrap", arguments[0], False, "<frozen bootstrap>")]
    for module in STARTUP:
        modules.append(
            (module.__name__, module.__file__, hasattr(module, "__path__"), module.__file__)
        )
    if len(arguments) > 1:
        for name, path, is_package in package_modules(arguments[1]):
            shown = os.path.relpath(path, os.path.dirname(os.path.abspath(arguments[1])))
            modules.append((name, path, is_package, shown))

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

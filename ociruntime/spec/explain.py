"""All faults of a document, with their places and cures (cold path).

The hot path only learns *that* a document is bad; this says everything: where `jsonschema` finds a
broken keyword one sentence is made of it, the semantic rules are applied to what is left when the
broken parts are taken out, and keys that nobody knows become warnings with the word that was meant.
"""

from __future__ import annotations

import os
from functools import cache
from stat import S_ISDIR

from ociruntime.bundle import parse
from ociruntime.errors import SpecError
from ociruntime.jsonplaces import find_fault, locate
from ociruntime.spec import semantic
from ociruntime.spec.fault import ERROR, WARNING, Fault
from ociruntime.spec.misspelt import misspelt_options
from ociruntime.spec.report import DocumentReport
from ociruntime.spec.schema import SETTINGS, Part, root_part
from ociruntime.spec.sentences import schema_fault, shown, unknown_fault
from ociruntime.spec.tables import NAMESPACES, OCI_VERSION_MAX
from ociruntime.spec.walk import broken, pointer, unknown, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.spec.walk import Path

# Stands in for what must be there when exactly that is broken, by kind and path.
_PROCESS = {"cwd": "/", "args": [""]}
_IDS = {("linux", "uidMappings"), ("linux", "gidMappings"), ("process", "user")}
_STAND_INS: dict[str, dict[Path, dict[str, Any]]] = {
    "config": {
        (): {"ociVersion": OCI_VERSION_MAX, "root": {"path": "rootfs"}},
        ("root",): {"path": "rootfs"},
        ("process",): _PROCESS,
    },
    "process": {(): _PROCESS},
    "resources": {},
}
_RULES = {
    "config": semantic.check,
    "process": semantic.check_process,
    "resources": semantic.check_limits,
}


def explain(
    raw: bytes, source: str, kind: str = "config", bundle: str | None = None
) -> DocumentReport:
    """Everything that can be said about the text ``raw`` of ``kind`` (schema.KINDS).

    ``source`` names the text; ``bundle`` is the directory it is the config of, if it is known.
    Raises SpecError only when a schema cannot be read.
    """
    try:
        document = parse(raw, source, null=kind not in SETTINGS)
    except SpecError:
        line, column, message = find_fault(raw)
        rule = "RFC 8259: the text MUST be JSON; config.md: encoded in UTF-8"
        fault = Fault("", None, message, rule, "correct the text")
        return DocumentReport(source, kind, [(fault, line, column)])
    places = locate(raw)
    placed = []
    faults = _faults(document, kind)
    if bundle is not None and kind == "config":
        faults += [(fault, False) for fault in _bundle_faults(document, bundle)]
    for fault, is_key in faults:
        line, column = (places.key if is_key else places.value)(fault.pointer)
        placed.append((fault, line, column))
    placed.sort(key=lambda entry: (entry[0].level != ERROR, entry[1], entry[2]))
    return DocumentReport(source, kind, placed)


def unknown_keys(document: Any, kind: str = "config") -> list[Fault]:
    """A warning for each property that the schema of ``kind`` does not know."""
    part = root_part(kind)
    return [unknown_fault(part, path) for path in unknown(part, document)]


def _faults(document: Any, kind: str) -> list[tuple[Fault, bool]]:
    """(fault, whether it is about a key) of a document that could be parsed."""
    part = root_part(kind)
    found = _schema_faults(part, document)
    result = [
        (schema_fault(part, document, path, keyword), keyword.startswith("propertyNames"))
        for path, keyword in found
    ]
    result += [(fault, False) for fault in _semantic_faults(part, document, kind, set(dict(found)))]
    result += [(unknown_fault(part, path), True) for path in unknown(part, document)]
    if kind == "config":
        result += [(fault, False) for fault in _unknown_calls(document)]
        result += [(fault, False) for fault in misspelt_options(document)]
    return result


def _schema_faults(part: Part, document: Any) -> list[tuple[Path, str]]:
    """One (path, keyword) per place."""
    try:
        validator = _validator()
    except ImportError:
        return list(broken(part, document))
    keywords = part.keywords
    if keywords is not part.schema:
        keywords = {**keywords, "$defs": part.schema["$defs"]}
    faults: dict[Path, str] = {}
    for error in validator(keywords).iter_errors(document):
        path: Path = tuple(error.absolute_path)
        keyword = str(error.validator)
        if "propertyNames" in error.absolute_schema_path:
            faults.setdefault((*path, error.instance), f"propertyNames/{keyword}")
        elif keyword == "required":
            for name in error.validator_value:
                if name not in error.instance:
                    faults[(*path, name)] = keyword
        elif keyword == "type":
            faults[path] = keyword
        else:
            faults.setdefault(path, keyword)
    return list(faults.items())


@cache
def _validator() -> Callable[[dict[str, Any]], Any]:
    """jsonschema's validator class; raises ImportError where it is not installed."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # JSON Schema takes 10.0 for an integer; no runtime does, and nothing that follows could.
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    )
    made: Callable[[dict[str, Any]], Any] = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, type_checker=types
    )
    return made


def _semantic_faults(part: Part, document: Any, kind: str, bad: set[Path]) -> list[Fault]:
    """What the rules say about the document without its broken parts."""
    if kind not in _RULES or type(document) is not dict:
        return []
    moves: dict[Path, list[int]] = {}
    rest = without(part, document, bad, moves, _STAND_INS[kind])
    broken_parts = {path[:2] for path in bad}
    if ("linux", "namespaces") in broken_parts:
        _assume_namespaces(rest)
    if broken_parts & _IDS:
        for entry in rest.get("linux", {}).get("namespaces", ()):
            # Joined, the mappings are not ours to know: nothing is said about what is mapped.
            if entry["type"] == "user":
                entry["path"] = "/"
    faults = _RULES[kind](rest)
    for fault in faults:
        fault.pointer = _moved_back(fault.pointer, moves)
    # What is broken was taken out; that it is missing now is not the document's fault.
    broken_places = {pointer(path) for path in bad}
    return [fault for fault in faults if fault.pointer not in broken_places]


def _unknown_calls(document: Any) -> list[Fault]:
    """A warning for each name of a system call that is a typing error, where libseccomp is there
    to tell; ``create`` finds it when it compiles the filter.
    """
    names: list[tuple[str, str]] = []
    try:
        for index, rule in enumerate(document["linux"]["seccomp"]["syscalls"]):
            for number, name in enumerate(rule["names"]):
                names.append((f"/linux/seccomp/syscalls/{index}/names/{number}", str(name)))
    except (KeyError, TypeError):
        pass  # no profile, or a broken one, of which the rest is said
    if not names:
        return []
    from ociruntime.spec.callnames import misspelt

    return [
        Fault(
            place,
            name,
            f"{name} is no system call, the rule for it is left out",
            "config-linux.md#seccomp: names are those of system calls",
            f'did you mean "{meant}"?',
            WARNING,
        )
        for place, name, meant in misspelt(names)
    ]


def _bundle_faults(document: Any, bundle: str) -> list[Fault]:
    """What the document says of its bundle and is not so."""
    root = document.get("root") if type(document) is dict else None
    path = root.get("path") if type(root) is dict else None
    if type(path) is not str or not path:
        return []  # the schema's matter
    try:
        if S_ISDIR(os.stat(os.path.join(bundle, path)).st_mode):
            return []
        message = f"{shown(path)} is not a directory"
    except PermissionError:
        return []
    except OSError as error:
        message = f"{shown(path)}: {os.strerror(error.errno or 0)}"
    rule = "config.md#root: a directory MUST exist at the path, which is relative to the bundle"
    return [Fault("/root/path", path, message, rule, "put the root filesystem there")]


def _assume_namespaces(document: dict[str, Any]) -> None:
    """Stand in for what the broken entries of linux.namespaces may have meant.

    Else a mistyped namespace would bring a fault for everything that needs it.
    """
    linux = document.setdefault("linux", {})
    entries = linux.setdefault("namespaces", [])
    given = [entry["type"] for entry in entries]
    for kind in NAMESPACES:
        if kind not in given:
            # Joined, so that nothing is asked of it; offsets are for a new time namespace only.
            entries.append({"type": kind} if kind == "time" else {"type": kind, "path": "/"})


def _moved_back(pointer: str, moves: dict[Path, list[int]]) -> str:
    """A pointer into what ``walk.without`` left, as a pointer into the whole document."""
    path: Path = ()
    result = ""
    for step in pointer.split("/")[1:]:
        index = str(moves[path][int(step)]) if path in moves else step
        path = (*path, int(index) if path in moves else step.replace("~1", "/").replace("~0", "~"))
        result += f"/{index}"
    return result

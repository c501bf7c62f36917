"""ociruntime validate [--bundle DIR | FILE] [--format text|json] [--kind KIND]"""

from __future__ import annotations

import os

from ociruntime.bundle import NO_CONFIG, open_bundle, read_all, read_file
from ociruntime.cli.options import VALUE, parse
from ociruntime.cli.output import say
from ociruntime.errors import UsageError
from ociruntime.spec.explain import explain
from ociruntime.spec.schema import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cli.main import Globals

OPTIONS = {"bundle": VALUE, "format": VALUE, "kind": VALUE}
ALIASES = {"b": "bundle", "f": "format"}


def main(words: list[str], _globals: Globals) -> int:
    """Print every fault of a document; 0 if there is no error, 1 otherwise."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="validate")
    form = options.text("format") or "text"
    kind = options.text("kind") or "config"
    if form not in ("text", "json"):
        raise UsageError(f"--format {form}: use text or json")
    if kind not in KINDS:
        raise UsageError(f"--kind {kind}: use {', '.join(KINDS)}")
    if len(options.arguments) > 1 or (options.arguments and options.text("bundle")):
        raise UsageError(
            "validate takes one FILE or --bundle DIR; see `ociruntime validate --help`"
        )
    raw, source, bundle = _read(options.arguments, options.text("bundle"))
    report = explain(raw, source, kind, bundle)
    say((report.text() if form == "text" else report.json()).encode())
    return 0 if report.valid else 1


def _read(arguments: list[str], bundle: str | None) -> tuple[bytes, str, str | None]:
    """(text, its name, the bundle) of the FILE, of standard input for "-", or of the bundle's
    config.json.
    """
    if arguments == ["-"]:
        return read_all(0, "standard input"), "standard input", None
    if arguments and not os.path.isdir(arguments[0]):
        return read_file(arguments[0]), arguments[0], None
    directory = arguments[0] if arguments else bundle or "."
    with open_bundle(directory) as opened:
        where = f"bundle {directory}: config.json"
        raw = read_file("config.json", dir_fd=opened.fd, where=where, absent=NO_CONFIG)
    return raw, os.path.join(directory, "config.json"), directory

"""ociruntime validate [--strict] [--format FORMAT] [--kind KIND] [--bundle DIR | FILE|DIR...]"""

from __future__ import annotations

import os

from ociruntime.arguments import FLAG, VALUE, parse
from ociruntime.bundle import NO_CONFIG, open_bundle, read_all, read_file
from ociruntime.cli.output import say
from ociruntime.errors import SpecError, UsageError
from ociruntime.spec.explain import explain
from ociruntime.spec.formats import FORMATS
from ociruntime.spec.schema import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ociruntime.cli.main import Globals
    from ociruntime.spec.report import DocumentReport

OPTIONS = {"bundle": VALUE, "format": VALUE, "kind": VALUE, "strict": FLAG}
ALIASES = {"b": "bundle", "f": "format"}
CONFIG = "config.json"


def main(words: list[str], globals_: Globals) -> int:
    """Print every fault of each document; 0 if there is no error in any, 1 otherwise."""
    options = parse(words, OPTIONS, ALIASES, stop_at_argument=False, command="validate")
    form = options.text("format") or "text"
    kind = options.text("kind") or "config"
    if form not in FORMATS:
        raise UsageError(f"--format {form}: use {', '.join(FORMATS)}")
    if kind not in KINDS:
        raise UsageError(f"--kind {kind}: use {', '.join(KINDS)}")
    if options.arguments and options.text("bundle"):
        raise UsageError("validate takes FILEs or --bundle DIR; see `ociruntime validate --help`")
    named = options.arguments or [options.text("bundle") or "."]
    found = list(_all(named)) if len(named) > 1 or _is_tree(named[0]) else [(named[0], None)]
    reports, unreadable = [], 0
    for name, bundle in found:
        try:
            report = _report(name, bundle, kind)
        except SpecError as error:
            if len(found) == 1:
                raise
            globals_.log.error(str(error))
            unreadable += 1
            continue
        if options.flag("strict"):
            report.be_strict()
        reports.append(report)
    alone = len(found) == 1 and found[0][1] is None
    say(FORMATS[form](reports, alone=alone).encode("utf-8", "backslashreplace"))
    return 0 if all(report.valid for report in reports) and not unreadable else 1


def _is_tree(name: str) -> bool:
    """Whether this is a directory without a configuration, so that those below are meant."""
    return os.path.isdir(name) and not os.path.exists(os.path.join(name, CONFIG))


def _all(named: list[str]) -> Iterator[tuple[str, str | None]]:
    """(file or directory, bundle if it was found below a directory) of everything that is meant.

    Raises ``SpecError`` for a directory with no configuration anywhere below.
    """
    for name in named:
        if not _is_tree(name):
            yield name, None
            continue
        below = sorted(place for place, _, files in os.walk(name) if CONFIG in files)
        if not below:
            raise SpecError(f"{name}: no {CONFIG} in it or below; name a file or a bundle")
        yield from ((place, place) for place in below)


def _report(name: str, bundle: str | None, kind: str) -> DocumentReport:
    """What can be said of a file, of standard input for "-", or of the config.json of a bundle."""
    if name == "-":
        return explain(read_all(0, "standard input"), "standard input", kind)
    if bundle is None and not os.path.isdir(name):
        return explain(read_file(name), name, kind)
    with open_bundle(name) as opened:
        where = f"bundle {name}: {CONFIG}"
        raw = read_file(CONFIG, dir_fd=opened.fd, where=where, absent=NO_CONFIG)
    return explain(raw, os.path.join(name, CONFIG), kind, name)

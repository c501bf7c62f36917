"""python -m conformance: checks OCI runtimes against the specification, sentence by sentence.

  python -m conformance --runtime PATH [--select PATTERN]... [--format FORMAT] [--output FILE]
  python -m conformance matrix --runtime PATH... [--add FILE]... --markdown FILE --html FILE
  python -m conformance list

Exit status: 0 all that was judged holds, 1 something does not, 2 it could not be tried, 130 it
was interrupted, by SIGINT or SIGTERM (nothing is left then, either).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance import SPEC_VERSION, registry, report
from conformance.host import Host, SetupError, enter_own_mount_namespace, find_busybox
from conformance.registry import Check
from conformance.runner import Finding, Run, Runner
from conformance.sentences import catalogue


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.command == "list":
            return _list()
        if options.command == "matrix":
            return _matrix(options)
        return _run(options)
    except (SetupError, LookupError, OSError) as error:
        message = error.args[0] if isinstance(error, LookupError) else error
        print(f"conformance: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conformance",
        description=f"Check OCI runtimes against runtime-spec {SPEC_VERSION}, as root.",
        epilog="`matrix` compares several runtimes in one page; `list` prints the catalogue.",
    )
    parser.add_argument("command", nargs="?", choices=("run", "matrix", "list"), default="run")
    parser.add_argument(
        "-r", "--runtime", action="append", default=[], metavar="PATH", help="runtime binary"
    )
    parser.add_argument(
        "-s", "--select", action="append", default=[], metavar="PATTERN",
        help="only tests of this name, sentence or section, such as 'mounts.*'; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--format", choices=sorted(report.FORMATS), default="text", help="(text)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where the report goes (stdout)")
    parser.add_argument(
        "-j", "--jobs", type=int, default=os.cpu_count() or 1, help="tests at a time (%(default)s)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="how much longer tests may take (1)"
    )
    parser.add_argument(
        "--add", action="append", default=[], metavar="FILE", help="matrix: a JSON report to add"
    )
    parser.add_argument("--markdown", metavar="FILE", help="matrix: page to write")
    parser.add_argument("--html", metavar="FILE", help="matrix: self-contained page to write")
    return parser


def _list() -> int:
    """Print the catalogue, each sentence with its tests."""
    tests: dict[str, list[str]] = {}
    for entry in registry.all_checks():
        for name in entry.sentences:
            tests.setdefault(name, []).append(entry.name)
    section = ""
    for sentence in catalogue().values():
        if sentence.section != section:
            section = sentence.section
            print(f"\n{section}  {sentence.title}")
        names = ", ".join(tests.get(sentence.id, [])) or f"untested: {sentence.untested}"
        print(f"  {sentence.id}  {sentence.level}  {sentence.text}\n      {names}")
    faults = registry.faults()
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


def _run(options: argparse.Namespace) -> int:
    """Check one runtime and report."""
    if len(options.runtime) != 1:
        raise SetupError("give one --runtime PATH (or `matrix` for several)")
    run = _judge(options, options.runtime[0], registry.select(options.select))
    text = report.FORMATS[options.format](run)
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0 if run.passed else 1


def _matrix(options: argparse.Namespace) -> int:
    """Check several runtimes and write the pages that compare them."""
    checks = registry.select(options.select)
    files = [Path(name) for name in options.add]
    runs = [_judge(options, name, checks) for name in options.runtime]
    runs += [Run.from_data(json.loads(path.read_text(encoding="utf-8"))) for path in files]
    if not runs:
        raise SetupError("give --runtime PATH or --add FILE, more than once")
    for name, write in ((options.markdown, report.matrix_markdown), (options.html, report.matrix)):
        if name:
            Path(name).write_text(write(runs), encoding="utf-8")
    return 0


def _judge(options: argparse.Namespace, name: str, checks: Sequence[Check]) -> Run:
    binary = Path(name).absolute()
    if not os.access(binary, os.X_OK):
        raise SetupError(f"{name}: no runtime there")
    if not getattr(options, "prepared", False):
        enter_own_mount_namespace()
        options.prepared = True
    host = Host(find_busybox())
    progress = _Progress(len(checks))
    runner = Runner(binary, host, jobs=max(options.jobs, 1), scale=options.scale)
    run = runner.run(checks, progress.tell)
    progress.end()
    return run


class _Progress:
    """One line on a terminal's standard error that says how far it is."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.tests: set[str] = set()
        self.shown = sys.stderr.isatty()

    def tell(self, finding: Finding) -> None:
        self.tests.add(finding.test)
        if self.shown:
            words = f"\r{len(self.tests)}/{self.total} {finding.test[:60]:60}"
            print(words, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.shown:
            print("\r" + " " * 72 + "\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

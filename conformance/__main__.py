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
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

from conformance import SPEC_VERSION, registry, report
from conformance.host import Host, SetupError, enter_own_mount_namespace
from conformance.registry import Check
from conformance.rootfs import find_busybox
from conformance.runner import Finding, Run, Runner
from conformance.runtime import find_runtime
from conformance.sentences import catalogue


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say and return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = {"list": _list, "matrix": _matrix, "run": _run}[options.command](options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (SetupError, LookupError) as error:
        print(f"conformance: {error.args[0]}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"conformance: {where}{error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130
    return status


def _positive(kind: type[int | float]) -> Callable[[str], float]:
    """Return what reads a number above 0 from the command line."""

    def read(text: str) -> float:
        number = kind(text)
        if not number > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return number

    read.__name__ = kind.__name__  # which argparse names in its message
    return read


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
        "-j",
        "--jobs",
        type=_positive(int),
        default=os.cpu_count() or 1,
        help="tests at a time (%(default)s)",
    )
    parser.add_argument(
        "--scale", type=_positive(float), default=1.0, help="how much longer tests may take (1)"
    )
    parser.add_argument(
        "--add", action="append", default=[], metavar="FILE", help="matrix: a JSON report to add"
    )
    parser.add_argument("--markdown", metavar="FILE", help="matrix: page to write")
    parser.add_argument("--html", metavar="FILE", help="matrix: self-contained page to write")
    return parser


def _list(_: argparse.Namespace) -> int:
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
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _run(options: argparse.Namespace) -> int:
    """Check one runtime and report."""
    if len(options.runtime) != 1:
        raise SetupError("give one --runtime PATH (or `matrix` for several)")
    checks, binary = registry.select(options.select), find_runtime(options.runtime[0])
    with _writable(options.output) as file:
        run = _judge(options, binary, checks)
        file.write(report.FORMATS[options.format](run))
    return 0 if run.passed else 1


def _matrix(options: argparse.Namespace) -> int:
    """Check several runtimes and write the pages that compare them."""
    if not options.runtime and not options.add:
        raise SetupError("give --runtime PATH or --add FILE, more than once")
    if not options.markdown and not options.html:
        raise SetupError("say where the matrix goes: --markdown FILE, --html FILE or both")
    checks = registry.select(options.select)
    binaries = [find_runtime(name) for name in options.runtime]
    added = [_read(name) for name in options.add]
    # What is there stays until all runs are made.
    pages = [(options.markdown, report.matrix_markdown), (options.html, report.matrix)]
    for name, _ in pages:
        if name and not os.access(Path(name).absolute().parent, os.W_OK):
            raise SetupError(f"{name}: its directory is not there to write to")
    runs = [_judge(options, binary, checks) for binary in binaries] + added
    for name, write in pages:
        if name:
            Path(name).write_text(write(runs), encoding="utf-8")
    return 0


def _read(name: str) -> Run:
    """Read a report; raises SetupError for anything else."""
    try:
        return Run.from_data(json.loads(Path(name).read_text(encoding="utf-8")))
    except ValueError:
        words = "no report of this suite; make one with --format json --output FILE"
        raise SetupError(f"{name}: {words}") from None


def _writable(name: str | None) -> AbstractContextManager[TextIO]:
    """Open where a report goes before anything is run, standard output without a name."""
    return open(name, "w", encoding="utf-8") if name else nullcontext(sys.stdout)


def _judge(options: argparse.Namespace, binary: Path, checks: Sequence[Check]) -> Run:
    if not getattr(options, "prepared", False):
        enter_own_mount_namespace()
        options.prepared = True
    host = Host(find_busybox())
    progress = _Progress(len(checks))
    runner = Runner(binary, host, jobs=options.jobs, scale=options.scale)
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

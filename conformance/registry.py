"""The tests, and which sentences each of them answers."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.sentences import catalogue

if TYPE_CHECKING:
    from conformance.trial import Trial

DEFAULT_SECONDS = 60.0


@dataclass(frozen=True)
class Check:
    """A test: `name` is unique, `sentences` are ids, `did` says what it does, in one line."""

    name: str
    sentences: tuple[str, ...]
    did: str
    function: Callable[[Trial], None]
    seconds: float = DEFAULT_SECONDS

    def matches(self, pattern: str) -> bool:
        """Tell whether a pattern selects this: by test name, sentence id or section."""
        names = [self.name, *self.sentences]
        names += [catalogue()[sentence].section for sentence in self.sentences]
        return any(fnmatchcase(name, pattern) for name in names)


_checks: list[Check] = []


def check(
    *sentences: str, seconds: float = DEFAULT_SECONDS
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Register the decorated function as the test of these sentences.

    `seconds` is the time it may take with a fast runtime on an idle machine.
    """

    def register(function: Callable[[Trial], None]) -> Callable[[Trial], None]:
        module = function.__module__.rpartition(".")[2]
        add(f"{module}.{function.__name__}", sentences, function.__doc__, function, seconds)
        return function

    return register


def add(
    name: str,
    sentences: Iterable[str],
    did: str | None,
    function: Callable[[Trial], None],
    seconds: float = DEFAULT_SECONDS,
) -> None:
    """Register a test that a table describes."""
    first = (did or "").strip().partition("\n\n")[0]
    _checks.append(Check(name, tuple(sentences), " ".join(first.split()), function, seconds))


@cache
def all_checks() -> tuple[Check, ...]:
    """Import every module of conformance.checks and return the tests, in the order of modules."""
    package = importlib.import_module("conformance.checks")
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"conformance.checks.{module}")
    return tuple(_checks)


@cache
def fingerprint() -> str:
    """Return what tells this version of the suite from others: a digest of its tests and words."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in {".py", ".txt", ".sh"} and "report" not in path.parts:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def faults() -> list[str]:
    """Return what is wrong with tests and catalogue together, one line each; [] is right."""
    sentences = catalogue()
    answered = {sentence for entry in all_checks() for sentence in entry.sentences}
    lines = [f"{name}: no such sentence" for name in sorted(answered - sentences.keys())]
    names = [entry.name for entry in all_checks()]
    lines += [f"{name}: two tests of this name" for name in sorted(set(names))
              if names.count(name) > 1]  # fmt: skip
    lines += [f"{entry.name}: says not what it does" for entry in all_checks() if not entry.did]
    for sentence in sentences.values():
        if sentence.id not in answered and not sentence.untested:
            lines.append(f"{sentence.id}: neither a test nor a reason for none")
        if sentence.id in answered and sentence.untested:
            lines.append(f"{sentence.id}: has a test, but is called untested")
    return lines


def select(patterns: Iterable[str]) -> list[Check]:
    """Return the tests that one of the patterns names (see Check.matches); all if there is none.

    Raises LookupError for a pattern that selects nothing.
    """
    patterns = list(patterns)
    for pattern in patterns:
        if not any(entry.matches(pattern) for entry in all_checks()):
            raise LookupError(f"{pattern}: no test, sentence or section of this name")
    if not patterns:
        return list(all_checks())
    return [entry for entry in all_checks() if any(entry.matches(pattern) for pattern in patterns)]

"""The commands and options as data, out of the tables that the parser and --help use."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SYSCALLS = "ociruntime.kernel._sys"


@dataclass(frozen=True)
class Option:
    """One option: its long name, its letters, the name of its value ("" for a flag)."""

    name: str
    letters: tuple[str, ...]
    value: str
    meaning: str


@dataclass(frozen=True)
class Command:
    """One command; the one without a name is ociruntime itself, with the global options."""

    name: str
    arguments: str
    summary: str
    note: str
    options: tuple[Option, ...]

    @property
    def takes_id(self) -> bool:
        """Whether a container that exists is named."""
        creates = ("create", "run", "plan")
        return self.arguments.startswith("ID") and self.name not in creates


def version() -> str:
    """The package's version."""
    return str(_package("ociruntime").__version__)


def commands() -> list[Command]:
    """All commands in the order of --help, the nameless one first."""
    main, texts = _package("ociruntime.cli.main"), _package("ociruntime.cli.help")
    found = [
        Command("", "COMMAND [ARGUMENTS]", "an OCI container runtime", "",
                _options("", main.GLOBAL, main.ALIASES, texts.OPTIONS)),
    ]  # fmt: skip
    for name, (arguments, summary) in texts.SUMMARIES.items():
        module = _package(f"ociruntime.cli.{main.VERBS[name]}")
        options = _options(
            name, getattr(module, "OPTIONS", {}), getattr(module, "ALIASES", {}), texts.OPTIONS
        )
        found.append(Command(name, arguments, summary, texts.NOTES.get(name, ""), options))
    return found


def _options(
    command: str,
    known: Mapping[str, str],
    aliases: Mapping[str, str],
    texts: Mapping[str, tuple[str, str]],
) -> tuple[Option, ...]:
    found = []
    for name, kind in known.items():
        value, meaning = texts.get(f"{command} {name}", texts[name])
        letters = tuple(letter for letter, of in aliases.items() if of == name and len(letter) == 1)
        found.append(Option(name, letters, value if kind != "flag" else "", meaning))
    return tuple(found)


class _Uncalled(types.ModuleType):
    """Stands for the extension module, which is not built yet, or is that of an older build: it is
    imported from, and not called.
    """

    install_dir = None

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def _package(name: str) -> types.ModuleType:
    """A module of this checkout."""
    if SYSCALLS not in sys.modules:
        sys.path.insert(0, str(CHECKOUT))
        stand_in = sys.modules[SYSCALLS] = _Uncalled(SYSCALLS)
        vars(importlib.import_module("ociruntime.kernel"))["_sys"] = stand_in
    return importlib.import_module(name)

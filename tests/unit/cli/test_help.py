"""Help is complete and true: it is made of the tables the parsers use."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from ociruntime.arguments import FLAG
from ociruntime.cli import help as texts
from ociruntime.cli.main import ALIASES, GLOBAL, VERBS

from .caller import call


def module_of(verb: str) -> ModuleType:
    return import_module(f"ociruntime.cli.{VERBS[verb]}")


def options_of(verb: str) -> tuple[dict[str, str], dict[str, str]]:
    module = module_of(verb)
    return getattr(module, "OPTIONS", {}), getattr(module, "ALIASES", {})


def option_lines(text: str) -> dict[str, str]:
    """Option name -> its line and, when that is elsewhere, its meaning."""
    lines = text.partition("\noptions:\n")[2].splitlines()
    found: dict[str, str] = {}
    for index, line in enumerate(lines):
        head, mark, _ = line.partition("--")
        if mark and not head.strip(" -,Vabcdefghijklmnopqrstuvwxyz"):
            name = line[len(head) + 2 :].split()[0]
            follows = lines[index + 1] if index + 1 < len(lines) else ""
            found[name] = line + (follows if follows.startswith(" " * 10) else "")
    return found


def test_overview_names_every_command_and_global_option() -> None:
    text = texts.overview(GLOBAL, ALIASES)
    commands = [line.split()[0] for line in text.split("\noptions:")[0].splitlines()[5:] if line]
    assert sorted(commands) == sorted(VERBS)
    assert sorted(option_lines(text)) == sorted(GLOBAL)
    for letter, name in ALIASES.items():
        assert f" -{letter}, " in option_lines(text)[name]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_usage_names_every_option(verb: str) -> None:
    known, aliases = options_of(verb)
    text = texts.usage(verb, module_of(verb))
    lines = option_lines(text)
    assert text.startswith(f"usage: ociruntime {verb}")
    assert sorted(lines) == sorted(known)
    for name, kind in known.items():
        words = lines[name].partition(f"--{name}")[2].split()
        assert len(words) > 2, f"--{name} is not explained"
        assert words[0].strip("[]=:").isupper() == (kind != FLAG), lines[name]
    for letter, name in aliases.items():
        assert len(letter) > 1 or f"  -{letter}, --{name}" in lines[name]


@pytest.mark.parametrize("verb", sorted(verb for verb in VERBS if "format" in options_of(verb)[0]))
def test_usage_names_every_format(verb: str) -> None:
    """And none that the command does not know; the first is what it takes without the option."""
    formats = module_of(verb).FORMATS
    line = option_lines(texts.usage(verb, module_of(verb)))["format"]
    all_formats = {"table", "text", "json", "sarif", "github", "openmetrics"}
    named = re.findall(r"[a-z]+", line.partition("(schemas")[0])
    assert [word for word in named if word in all_formats] == list(formats)
    assert f"{next(iter(formats))} (default)" in line


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_lines_fit(verb: str) -> None:
    assert max(map(len, texts.usage(verb, module_of(verb)).splitlines())) <= 110
    assert max(map(len, texts.overview(GLOBAL, ALIASES).splitlines())) <= 110


def test_every_text_is_used() -> None:
    used = set(GLOBAL)
    for verb in VERBS:
        known, _ = options_of(verb)
        used |= {
            name if f"{verb} {name}" not in texts.OPTIONS else f"{verb} {name}" for name in known
        }
    assert used == set(texts.OPTIONS)
    assert set(texts.SUMMARIES) == set(VERBS)
    assert set(texts.NOTES) <= set(VERBS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("strat", "start"), ("Delete", "delete"), ("feature", "features"), ("xyzzy", "")],
)
def test_suggestion(tmp_path: Path, typed: str, meant: str) -> None:
    outcome = call(tmp_path, typed)
    assert outcome.status == 1
    assert (f"did you mean {meant}?" in outcome.stderr) == bool(meant)
    assert outcome.stderr.count("\n") == 1
    assert "unknown command" in outcome.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_succeeds(tmp_path: Path, words: list[str]) -> None:
    outcome = call(tmp_path, *words)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout == texts.overview(GLOBAL, ALIASES)


def test_no_command_fails(tmp_path: Path) -> None:
    assert call(tmp_path).status == 1


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_verb_help(tmp_path: Path, verb: str) -> None:
    for word in ("--help", "-h"):
        assert call(tmp_path, verb, word).stdout == texts.usage(verb, module_of(verb))


@pytest.mark.parametrize("verb", ["exec", "ps"])
def test_help_behind_the_id_is_not_ours(tmp_path: Path, verb: str) -> None:
    outcome = call(tmp_path, verb, "absent", "true", "--help")
    assert outcome.status != 0
    assert outcome.stdout == ""
    assert "container does not exist" in outcome.stderr

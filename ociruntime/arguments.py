"""The command line's syntax: options before or between arguments, as Go's and GNU's parsers both
accept them.

    --name value   --name=value   -n value   -n=value   -nvalue (one-letter names)   --flag
    --flag=true|false   --
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.errors import UsageError

FLAG, VALUE, LIST = "flag", "value", "list"
TRUE = ("true", "1", "t")
FALSE = ("false", "0", "f")


class Options:
    """What was parsed: ``values`` by long name without dashes, and the remaining ``arguments``."""

    __slots__ = ("arguments", "values")

    def __init__(self) -> None:
        self.values: dict[str, str | bool | list[str]] = {}
        self.arguments: list[str] = []

    def flag(self, name: str) -> bool:
        """Whether a flag was given (and not switched off by ``=false``)."""
        return self.values.get(name) is True

    def text(self, name: str) -> str | None:
        """The value of an option, None when it was not given: an empty one is none (as runc's)."""
        value = self.values.get(name)
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> list[str]:
        """All values of an option that may be repeated."""
        value = self.values.get(name)
        return value if isinstance(value, list) else []

    def number(self, name: str, default: int = 0) -> int:
        """The value as a number >= 0."""
        text = self.values.get(name)
        if not isinstance(text, str):
            return default
        if not (text.isascii() and text.isdecimal()):
            raise UsageError(f"--{name} {text}: not a number")
        return int(text)


def parse(
    words: list[str],
    known: dict[str, str],
    aliases: dict[str, str],
    *,
    stop_at_argument: bool,
    command: str,
) -> Options:
    """Parse ``words``.

    Parameters: ``known`` maps long names to FLAG, VALUE or LIST; ``aliases`` one-letter names to
    long ones; ``stop_at_argument``: everything from the first argument on is arguments;
    ``command`` is the verb, empty for the options before it. Raises ``UsageError``.
    """
    result = Options()
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            result.arguments += words[index:]
            break
        if len(word) < 2 or word[0] != "-":
            result.arguments.append(word)
            if stop_at_argument:
                result.arguments += words[index:]
                break
            continue
        name, value = _split(word, known, aliases, command)
        kind = known[name]
        if kind == FLAG:
            result.values[name] = _truth(name, value)
            continue
        if value is None:
            if index == len(words):
                raise UsageError(f"{_who(command)}--{name} needs a value")
            value = words[index]
            index += 1
        if kind == LIST:
            result.values.setdefault(name, [])
            result.texts(name).append(value)
        else:
            result.values[name] = value
    return result


def _split(
    word: str, known: dict[str, str], aliases: dict[str, str], command: str
) -> tuple[str, str | None]:
    """(long name, value or None) of an option word."""
    name, separator, value = word.lstrip("-").partition("=")
    given = value if separator else None
    name = aliases.get(name, name)
    if name in known:
        return name, given
    # -nvalue
    letter = aliases.get(word[1], "")
    if word[1] != "-" and letter and known[letter] != FLAG:
        return letter, word[2:]
    given = word.split("=", maxsplit=1)[0]
    of = f"{command} " if command else ""
    from ociruntime.similar import nearest

    meant = nearest(given.lstrip("-"), known)
    cure = f"did you mean --{meant}? See" if meant else "see"
    raise UsageError(f"{_who(command)}unknown option {given}; {cure} `ociruntime {of}--help`")


def _who(command: str) -> str:
    """How an error about a command's options begins; those of no command are the global ones."""
    return f"{command}: " if command else ""


def _truth(name: str, value: str | None) -> bool:
    if value is None or value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise UsageError(f"--{name}={value}: not a truth value; use true or false")


def one_argument(options: Options, command: str) -> str:
    """The container id, the only argument."""
    if len(options.arguments) != 1:
        count = len(options.arguments)
        raise UsageError(f"{command}: wants one container id, {count} arguments were given")
    return options.arguments[0]


def absolute(path: str | None) -> str | None:
    """``path`` from the current directory, which may change later; None stays None."""
    return os.path.abspath(path) if path else None

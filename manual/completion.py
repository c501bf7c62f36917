"""Writes the completion of command lines for bash, zsh and fish.

completion.py DIRECTORY prints the names of the files that it wrote there.
"""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

from commands import Command, Option, commands

SIGNALS = sorted(
    {name.removeprefix("SIG") for name in signal.Signals.__members__ if name.isascii()}
)
IDS = "ociruntime list --quiet 2>/dev/null"
BASH = r"""# Completion of ociruntime for bash; made by manual/completion.py.
_ociruntime() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
@VALUES@
        -*) ;;
        *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $command:$before in
@OPTIONS@
    esac
    local options='' words=''
    case $command in
@COMMANDS@
    esac
    case $word in
    -*) words=$options ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _ociruntime ociruntime
"""


def choices(option: Option) -> list[str]:
    """The words that a value can be, as its meaning lists them."""
    listed = re.sub(r"\(default\)|\([^)]*\)", "", option.meaning)
    if option.name in ("format", "log-format", "cgroup-manager", "kind", "rootless"):
        found = re.findall(
            r"\b(?:table|text|json|sarif|github|openmetrics|cgroupfs|systemd|disabled|config|process"
            r"|resources|state|features|true|false|auto)\b",
            listed,
        )
        return list(dict.fromkeys(found))
    return []


def is_directory(option: Option) -> bool:
    """Whether the value is a directory."""
    return option.value == "DIR"


def is_file(option: Option) -> bool:
    """Whether the value is a file or a socket."""
    return option.value in ("FILE", "SOCKET", "PATH", "OUT", "NETWORK")


def arguments(command: Command) -> list[str]:
    """The words that may stand behind the options, but for ids of containers."""
    if command.name == "kill":
        return SIGNALS
    words = re.findall(r"\b[a-z]+\b", command.arguments)
    return words if command.name in ("image", "net") else []


def dashes(option: Option) -> list[str]:
    """The option's names as they are typed."""
    return [f"--{option.name}", *(f"-{letter}" for letter in option.letters)]


def bash_value(command: Command, option: Option) -> str:
    """The branch for the value of one option."""
    patterns = "|".join(f"{command.name}:{name}" for name in dashes(option))
    words = choices(option)
    if words:
        action = f"mapfile -t COMPREPLY < <(compgen -W '{' '.join(words)}' -- \"$word\"); "
    elif is_directory(option) or is_file(option):
        kind = "d" if is_directory(option) else "f"
        action = f'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -{kind} -- "$word"); '
    else:
        action = ""
    return f"    {patterns}) {action}return ;;"


def bash(found: list[Command]) -> str:
    """The script for bash."""
    with_value = [(c, option) for c in found for option in c.options if option.value]
    values = "|".join(name for c, option in with_value if not c.name for name in dashes(option))
    lines = []
    for command in found:
        names = " ".join(name for option in command.options for name in dashes(option))
        words = " ".join(arguments(command) or [c.name for c in found if not command.name])
        ids = f' words+=" $({IDS})"' if command.takes_id else ""
        name = command.name or "''"
        lines.append(f"    {name}) options='{names}' words='{words.strip()}'{ids} ;;")
    text = BASH.replace("@COMMANDS@", "\n".join(lines))
    text = text.replace("@VALUES@", f"        {values}) i=$((i + 1)) ;;")
    return text.replace("@OPTIONS@", "\n".join(bash_value(*pair) for pair in with_value))


def quoted(text: str) -> str:
    """`text` in single quotes, for zsh and fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "’") + "'"


def zsh(found: list[Command]) -> str:
    """The script for zsh."""

    def spec(option: Option) -> str:
        meaning = option.meaning.replace("[", "(").replace("]", ")").replace(":", "\\:")
        value = ""
        if option.value:
            words = choices(option)
            action = (
                f"({' '.join(words)})" if words else "_directories" if is_directory(option)
                else "_files" if is_file(option) else " "
            )  # fmt: skip
            value = f":{option.value.replace(':', ' ')}:{action}"
        return " ".join(quoted(f"*{name}[{meaning}]{value}") for name in dashes(option))

    first, *others = found
    lines = ["#compdef ociruntime", "# made by manual/completion.py",
             "local -a ids commands", "local line state"]  # fmt: skip
    lines += [f'_ociruntime_ids() {{ ids=(${{(f)"$({IDS})"}}); compadd -a ids }}', "commands=("]
    lines += [f"  {quoted(f'{c.name}:{c.summary}')}" for c in others] + [")"]
    specs = " ".join(spec(option) for option in first.options)
    lines += [f"_arguments -C {specs} '1:command:->command' '*::argument:->argument'",
              "case $state in", "command) _describe command commands ;;", "argument)",
              "  case $line[1] in"]  # fmt: skip
    for command in others:
        specs = " ".join(spec(option) for option in command.options)
        words = arguments(command)
        rest = ""
        if command.takes_id:
            rest = " '1:container:_ociruntime_ids'"
            rest += f" '2:word:({' '.join(words)})'" if words else " '*:file:_files'"
        elif words:
            rest = f" '1:word:({' '.join(words)})'"
        else:
            rest = " '*:file:_files'"
        lines.append(f"  {command.name}) _arguments {specs}{rest} ;;")
    lines += ["  esac ;;", "esac"]
    return "\n".join(lines) + "\n"


def fish(found: list[Command]) -> str:
    """The script for fish."""
    others = found[1:]
    names = " ".join(command.name for command in others)
    lines = ["# made by manual/completion.py", "complete -c ociruntime -f"]
    none, seen = f"not __fish_seen_subcommand_from {names}", "__fish_seen_subcommand_from"
    for command in found:
        where = f'"{seen} {command.name}"' if command.name else f'"{none}"'
        if command.name:
            lines.append(f'complete -c ociruntime -n "{none}" -a {command.name}'
                         f" -d {quoted(command.summary)}")  # fmt: skip
        for option in command.options:
            values = choices(option)
            value = (
                "" if not option.value else f" -x -a {quoted(' '.join(values))}" if values
                else " -x -a '(__fish_complete_directories)'" if is_directory(option)
                else " -r -F" if is_file(option) else " -x"
            )  # fmt: skip
            letters = "".join(f" -s {letter}" for letter in option.letters)
            lines.append(f"complete -c ociruntime -n {where} -l {option.name}{letters}{value}"
                         f" -d {quoted(option.meaning)}")  # fmt: skip
        if command.takes_id:
            lines.append(f"complete -c ociruntime -n {where} -a '({IDS})'")
        if command.name and arguments(command):
            words = quoted(" ".join(arguments(command)))
            lines.append(f"complete -c ociruntime -n {where} -a {words}")
    return "\n".join(lines) + "\n"


def main(arguments_: list[str]) -> int:
    """Write the three scripts to the directory `arguments_[0]`."""
    directory = Path(arguments_[0])
    directory.mkdir(parents=True, exist_ok=True)
    found = commands()
    scripts = {"ociruntime": bash(found), "_ociruntime": zsh(found), "ociruntime.fish": fish(found)}
    for name, text in scripts.items():
        (directory / name).write_text(text)
        print(directory / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

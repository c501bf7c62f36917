"""Writes the documentation as a site, by Sphinx: docs/, the commands, the library's reference.

website.py DIRECTORY makes DIRECTORY/source, which has everything in the form that Sphinx wants, and
DIRECTORY/html. The navigation is docs/index.md: a heading for each kind of reader, a link for each
page. What has a warning (a link that leads nowhere, a page that is in no list) fails.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from commands import CHECKOUT, Command, Option, commands

DOCS = CHECKOUT / "docs"
INDEX = (DOCS / "index.md").read_text()
# Of a list in docs/index.md the pages that only the site has, because they are made here.
MADE = {
    "Run it by hand": "- [Commands](commands/index.md): every option of each",
    "Write Python with it": "- [Reference](reference.md): every name of `ociruntime.api`",
}
INSTEAD = ("package.md",)  # what a package index shows: the site's first page says more
TABLES = "Made of the tables that the parser, `--help` and the manual pages use"
REFERENCE = """# Reference of the library

Made of the docstrings of `ociruntime.api`; [by task](api.md) tells how it is used.

```{eval-rst}
.. automodule:: ociruntime.api
   :members:
   :imported-members:
   :exclude-members: DEVNULL, PIPE, STDOUT
```
"""
LINK = re.compile(r"\[([^]]*)\]\(([^)#]+)([^)]*)\)")
ITEM = re.compile(r"(?m)^- \[[^]]*\]\(([^)]+)\.md\)")


def assemble(source: Path) -> None:
    """Everything that Sphinx reads, below `source`."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    pages = {path.name: path for path in DOCS.glob("*.md") if path.name not in INSTEAD}
    for name in ITEM.findall(INDEX):
        if name.startswith("../"):
            pages[f"{name[3:]}.md"] = CHECKOUT / f"{name[3:]}.md"
    for name, path in pages.items():
        text = path.read_text()
        (source / name).write_text(
            linked(index(text) if name == "index.md" else text, path.parent, source)
        )
    for path in DOCS.glob("*.svg"):
        shutil.copy(path, source)
    (source / "reference.md").write_text(REFERENCE)
    directory = source / "commands"
    directory.mkdir()
    first, *others = commands()
    (directory / "index.md").write_text(of_program(first, others))
    for command in others:
        (directory / f"{command.name}.md").write_text(of_command(command))


def linked(text: str, place: Path, source: Path) -> str:
    """A page that was at `place`, with links for the site, in which all pages lie side by side.

    Of a link to a program or a page that the site does not have its words stay.
    """

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found.groups()
        path = (place / target).resolve()
        if ":" in target or target.startswith(("commands/", "reference.md")):
            return found[0]
        if path.suffix == ".html":
            return f'<a href="{path.name}{anchor}">{words}</a>'
        if path.suffix in (".md", ".svg"):
            known = path.parent == DOCS or f"(../{path.name})" in INDEX
            return f"[{words}]({path.name}{anchor})" if known else words
        if path.suffix == ".json":
            (source / "schemas").mkdir(exist_ok=True)
            shutil.copy(path, source / "schemas")
            return f"[{words}](schemas/{path.name})"
        return words

    return LINK.sub(link, text)


def index(text: str) -> str:
    """The first page with the pages that are made here, and with a navigation made of its lists."""
    heading, parts = "", []
    for part in re.split(r"(?m)^(?=## )", text):
        heading = part.partition("\n")[0].removeprefix("## ")
        whole = part.rstrip() + "\n" + (f"{MADE[heading]}\n" if heading in MADE else "")
        names = ITEM.findall(whole)
        if names:
            listed = "\n".join(name.removeprefix("../") for name in names)
            whole += f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{listed}\n```\n"
        parts.append(whole)
    return "\n".join(parts)


def escaped(text: str) -> str:
    """Words of a table for a cell in Markdown: what stands in backticks is code."""
    pieces = text.replace("|", "\\|").split("`")
    plain = [re.sub(r"([\\*_\[\]<>])", r"\\\1", piece).replace("\\\\|", "\\|") for piece in pieces]
    return "".join(
        f"`{pieces[number]}`" if number % 2 else plain[number] for number in range(len(pieces))
    )


def option_table(options: tuple[Option, ...]) -> str:
    """Options as rows."""
    rows = ["| option | |", "| --- | --- |"]
    for option in options:
        value = f" {option.value}" if option.value else ""
        names = ", ".join([*(f"-{letter}" for letter in option.letters), f"--{option.name}{value}"])
        shown = names.replace("|", "\\|")
        rows.append(f"| `{shown}` | {escaped(option.meaning)} |")
    return "\n".join(rows) + "\n"


def of_command(command: Command) -> str:
    """The page of one command."""
    words = f"ociruntime {command.name} [OPTIONS] {command.arguments}".rstrip()
    summary = escaped(command.summary)
    parts = [f"# {command.name}", f"    {words}", summary[:1].upper() + summary[1:] + "."]
    parts += [escaped(command.note)] if command.note else []
    parts += ["## Options", option_table(command.options)] if command.options else []
    return "\n\n".join(parts) + "\n"


def of_program(first: Command, others: list[Command]) -> str:
    """The page of all commands, with the options that stand before each."""
    rows = ["| command | |", "| --- | --- |"]
    rows += [f"| [{each.name}]({each.name}.md) | {escaped(each.summary)} |" for each in others]
    names = "\n".join(each.name for each in others)
    return "\n\n".join(
        [
            "# Commands",
            "    ociruntime [OPTIONS] COMMAND [ARGUMENTS]",
            f"{TABLES}; [usage](../usage.md) has examples.",
            "\n".join(rows),
            "## Options of all commands",
            option_table(first.options),
            f"```{{toctree}}\n:hidden:\n\n{names}\n```",
        ]
    ) + "\n"


def main(arguments: list[str]) -> int:
    """Make the site below `arguments[0]`."""
    directory = Path(arguments[0])
    assemble(directory / "source")
    shutil.rmtree(directory / "html", ignore_errors=True)
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "--builder", "html"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *words, "--conf-dir", Path(__file__).parent,
         directory / "source", directory / "html"],
        check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

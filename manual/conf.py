"""Settings of Sphinx for the site that manual/website.py makes; Sphinx wants this name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parent))

import commands  # those of the checkout, whether it is built or not

project = "ociruntime"
version = release = commands.version()
html_title = f"ociruntime {release}"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"
html_theme = "furo"  # light and dark, as the reader's system has it or as he chooses
html_copy_source = False
html_favicon = str(Path(__file__).parent / "icon.svg")
# A page with a style of its own.
html_extra_path = [str(commands.CHECKOUT / "docs" / "conformance.html")]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
highlight_language = "text"
ROW = re.compile(r"(\S.*?)(?:  +|: )(\S.*)")


def readable(
    _app: Sphinx, _kind: str, _name: str, _thing: object, _options: object, lines: list[str]
) -> None:
    """Our docstrings in reStructuredText: aligned columns are a list of terms, what else is set off
    is code.
    """
    found: list[str] = []
    block: list[str] = []
    for line in [*lines, ""]:
        if line:
            block.append(line)
            continue
        found += [*_block(block), ""] if block else [""]
        block = []
    lines[:] = found


def _block(block: list[str]) -> list[str]:
    """One paragraph."""
    depth = len(block[0]) - len(block[0].lstrip())
    rows: list[tuple[str, str]] = []
    aligned = re.match(r" *[\w, ]+?  +\S", block[0]) is not None
    for line in block if aligned else ():
        found = ROW.fullmatch(line, depth)
        if found and line[depth] != " ":
            rows.append((found[1], found[2]))
        elif rows:
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
    if aligned:
        return [part for term, words in rows for part in (f"**{term}**", f"   {words}")]
    is_code = depth > 0 and not block[0].lstrip().startswith(("-", ":", "*"))
    return ["::", "", *block] if is_code else block


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", readable)

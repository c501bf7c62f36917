"""docs/ is a whole: its first page leads to every other, and every link arrives somewhere.

The site itself is made and clicked through by `make docs-test`, which needs a browser.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
DOCS = CHECKOUT / "docs"
PAGES = sorted(
    [*DOCS.glob("*.md"), *CHECKOUT.glob("*.md"), *CHECKOUT.glob("*/*/README.md"),
     CHECKOUT / "findings" / "README.md"]
)  # fmt: skip
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"```.*?```|^(?: {4}|\t).*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """A page without what is set off as code."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What its headings are called in a link, as GitHub and the site name them."""
    found: dict[str, int] = {}
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    for heading in re.findall(r"(?m)^#{1,6} (.*)$", text):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower().replace("`", "")
        name = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
        count = found[name] = found.get(name, -1) + 1
        if count:
            found[f"{name}-{count}"] = 0
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_arrive(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("https:", "http:", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_the_first_page_leads_to_every_other() -> None:
    """Once, and under the kind of reader whom it is for: the site's navigation is made of it."""
    listed = re.findall(r"(?m)^- \[[^]]+\]\(([^)]+)\)", (DOCS / "index.md").read_text())
    inside = sorted(name for name in listed if not name.startswith("../"))
    # What a package index shows says the same as the first page.
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md", "package.md"}
    assert inside == sorted(pages)


def test_the_sources_of_the_site(tmp_path: Path) -> None:
    """All that Sphinx would read; it is not called here."""
    code = "import sys, website; website.assemble(website.Path(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "source"],
        check=True, env={"PYTHONPATH": str(CHECKOUT / "manual")},
    )  # fmt: skip
    first = (tmp_path / "source" / "index.md").read_text()
    made = re.findall(r"(?ms)^```\{toctree\}\n.*?\n\n(.*?)\n```", first)
    names = [name for part in made for name in part.split()]
    assert {"usage", "commands/index", "reference", "CONTRIBUTING"} <= set(names)
    for name in names:
        page = tmp_path / "source" / f"{name}.md"
        assert page.read_text().startswith("# "), name
        assert "../" not in prose(page).replace("(../usage.md)", ""), name
    commands = (tmp_path / "source" / "commands" / "exec.md").read_text()
    assert "`-e, --env NAME=VALUE`" in commands

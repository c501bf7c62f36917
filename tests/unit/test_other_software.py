"""What CONTRIBUTING.md says about other software, as far as it can be found by looking."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT, tracked

# Written in pieces: this file is looked through, too. A project's web page is no registry: the form
# of debian/copyright has a name there.
REGISTRIES = re.compile(
    r"\b(?:[\w-]+\.)*(?<!\bwww\.)(?:deb" r"ian|ubu" r"ntu|py" r"pi|pyt" r"honhosted|np" r"mjs|go"
    r"lang|cra" r"tes|ruby" r"gems|fedora" r"project|alpine" r"linux)\.(?:org|com|net|io)\b"
)  # fmt: skip
ENGINES = (
    r"(?:ru" r"nc|cr" r"un|you" r"ki|bubble" r"wrap|container" r"d|docker" r"d|pod" r"man|con"
    r"mon|build" r"ah)"
)  # fmt: skip
LIBRARIES = r"(?:libsec" r"comp|json" r"schema|jee" r"pney|pyro" r"ute2)"
PEERS = re.compile(rf"\b{ENGINES}\b", re.IGNORECASE)
# Whom something happened to, and what.
HAPPENED = (
    r"(?:hang" r"s|hung|crash" r"e[sd]|segfa" r"ult\w*|pani" r"cs|dead" r"locks|dumps co" r"re|let"
    r"s? (?:\w+ ){1,4}(?:pass|through))"
)  # fmt: skip
TRIGGERS = re.compile(rf"\b(?:{ENGINES}|{LIBRARIES})\b[^|;:]{{0,60}}\b{HAPPENED}\b", re.IGNORECASE)
SCRIPTS = (".sh", ".py", ".toml", ".yml", ".yaml", ".build")


def text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def is_script(path: Path) -> bool:
    return path.suffix in SCRIPTS or path.name == "Makefile" or text(path).startswith("#!")


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(CHECKOUT)}:{number}: {match.group()}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), 1)
        if (match := pattern.search(line))
    ]


def test_no_file_names_a_registry() -> None:
    assert found(REGISTRIES, tracked()) == []


def test_scripts_fetch_nothing_by_its_address() -> None:
    """Programs that fetch are given no address but one of the tests' own machines."""
    fetch = re.compile(
        r"\b(?:curl|wget|pip|apt|apt-get|debootstrap|mmdebstrap)\b.*https?://(?!\{|127)"
    )
    assert found(fetch, [path for path in tracked() if is_script(path)]) == []


def test_tests_of_guards_run_no_other_runtime() -> None:
    """No word of another one, and no way to let a test off for it."""
    paths = [path for path in tracked() if path.is_relative_to(CHECKOUT / "tests/security")]
    assert paths
    assert found(PEERS, paths) == []
    assert found(re.compile(r"\bis_ours\b"), paths) == []


@pytest.mark.parametrize("name", ["README.md", "Makefile", "CONTRIBUTING.md", "docs"])
def test_nobody_is_told_to_run_them_on_another(name: str) -> None:
    paths = [path for path in tracked() if path.is_relative_to(CHECKOUT / name)]
    assert paths
    other = re.compile(r"tests/security\b.*--runtime (?!build/ociruntime|\S*/ociruntime\b)")
    assert found(other, paths) == []


def test_the_page_of_guards_compares_with_nobody() -> None:
    assert found(PEERS, [CHECKOUT / "docs/security.md"]) == []


def test_what_goes_wrong_elsewhere_is_told_by_its_class_only() -> None:
    suffixes = (".md", ".py", ".txt", ".c", ".h", ".sh", ".html")
    assert found(TRIGGERS, [path for path in tracked() if path.suffix in suffixes]) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRIES, "deb http://" + "ftp.de.deb" + "ian.org/x sid main"),
        (REGISTRIES, "https://" + "deb.deb" + "ian.org/www"),
        (REGISTRIES, "pip install " + "-i https:/" + "/py" + "pi.org/simple x"),
        (PEERS, "--runtime /usr/sbin/ru" + "nc"),
        (TRIGGERS, "with 65 levels cr" + "un hang" + "s for ever"),
        (TRIGGERS, "libsec" + "comp 2.0 let" + "s the call pass"),
    ],
)
def test_the_patterns_find_what_they_should(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)

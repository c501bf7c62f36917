"""Manual pages and completion have every command and option that the parser knows."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ociruntime.cli.main import ALIASES, GLOBAL, VERBS

MANUAL = Path(__file__).resolve().parents[3] / "manual"


def tables() -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Options and short names of each command, as its parser has them; "" is ociruntime itself."""
    found = {"": (GLOBAL, ALIASES)}
    for verb, name in VERBS.items():
        module = importlib.import_module(f"ociruntime.cli.{name}")
        found[verb] = (getattr(module, "OPTIONS", {}), getattr(module, "ALIASES", {}))
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return made("pages.py", tmp_path_factory.mktemp("manual"))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return made("completion.py", tmp_path_factory.mktemp("completion"))


def made(script: str, directory: Path) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, MANUAL / script, directory], capture_output=True, text=True, check=True
    )
    return {Path(path).name: Path(path).read_text() for path in done.stdout.splitlines()}


def test_every_command_has_a_page_with_every_option(pages: dict[str, str]) -> None:
    others = {"ociruntime-net.5", "containerd-shim-ociruntime-v1.8", "ociruntime-bridge.8",
              "ociruntime-ipam.8"}  # fmt: skip
    assert set(pages) == {"ociruntime.8", *others, *(f"ociruntime-{verb}.8" for verb in VERBS)}
    for verb, (options, aliases) in tables().items():
        text = pages[f"ociruntime-{verb}.8" if verb else "ociruntime.8"].replace("\\-", "-")
        for name in options:
            assert f"\\fB--{name}\\fR" in text, (verb, name)
        for letter, name in aliases.items():
            if len(letter) == 1:
                assert re.search(rf"\\fB-{letter}\\fR.*--{name}\\fR", text), (verb, letter)
    for verb in VERBS:
        assert f"ociruntime\\-{verb}\\fR(8)" in pages["ociruntime.8"]


@pytest.mark.skipif(shutil.which("man") is None, reason="no man")
def test_roff_finds_no_fault(pages: dict[str, str], tmp_path: Path) -> None:
    for name, text in pages.items():
        if text.startswith(".so "):
            assert Path(text.split()[1]).name in pages
            continue
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            ["man", "--warnings", "-l", tmp_path / name], capture_output=True, text=True,
            check=False, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), name


def test_completion_has_every_option(scripts: dict[str, str]) -> None:
    for verb, (options, aliases) in tables().items():
        letters = [letter for letter in aliases if len(letter) == 1]
        names = [f"--{name}" for name in options] + [f"-{letter}" for letter in letters]
        line = re.search(
            rf"^    {verb or chr(39) * 2}\) options='(.*?)'", scripts["ociruntime"], re.MULTILINE
        )
        assert line is not None
        assert set(line[1].split()) == set(names)
        zsh = scripts["_ociruntime"]
        pattern = rf"^  {verb}\) _arguments (.*)$" if verb else "^(_arguments.*)$"
        line = re.search(pattern, zsh, re.MULTILINE)
        assert line is not None
        assert {word.split("[")[0] for word in re.findall(r"'\*(-[^']*)'", line[1])} == set(names)
        where = f'seen_subcommand_from {verb}"' if verb else "not __fish"
        fish = [line for line in scripts["ociruntime.fish"].splitlines() if where in line]
        for name in options:
            assert any(f" -l {name} " in line for line in fish), (verb, name)
        for letter in letters:
            assert any(f" -s {letter} " in line for line in fish), (verb, letter)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["de"], {"delete"}),
        (["--log", "create", "pau"], {"pause"}),
        (["list", "--format", ""], {"table", "json"}),
        (["validate", "--format", ""], {"text", "json", "sarif", "github"}),
        (["explain", "--format", ""], {"text", "json"}),
        (["events", "--format", ""], {"json", "openmetrics"}),
        (["kill", "name", "KI"], {"KILL"}),
        (["run", "--no-p"], {"--no-pivot"}),
        (["image", ""], {"show", "refresh"}),
        (["delete", "-r", "b"], {"box-1", "box-2"}),
        (["exec", "--user", ""], set()),
    ],
)
def test_bash_completes(
    scripts: dict[str, str], tmp_path: Path, words: list[str], expected: set[str]
) -> None:
    (tmp_path / "ociruntime").write_text("#!/bin/sh\n[ $1 = list ] && printf 'box-1\\nbox-2\\n'\n")
    (tmp_path / "ociruntime").chmod(0o755)
    (tmp_path / "script").write_text(scripts["ociruntime"])
    code = (
        f'compopt() {{ :; }}; source {tmp_path}/script; COMP_WORDS=(ociruntime "$@");'
        ' COMP_CWORD=$#; _ociruntime; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", code, "bash", *words], capture_output=True, text=True, check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


@pytest.mark.parametrize(("shell", "name"), [("zsh", "_ociruntime"), ("fish", "ociruntime.fish")])
def test_other_shells_read_it(scripts: dict[str, str], shell: str, name: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    subprocess.run([shell, "-n"], input=scripts[name], text=True, check=True)

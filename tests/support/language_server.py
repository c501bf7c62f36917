"""A conversation with a language server over its standard streams (LSP), as an editor has it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

# What editors say of themselves that changes the answers.
ABILITIES = {
    "textDocument": {
        "completion": {"completionItem": {"snippetSupport": True}},
        "hover": {"contentFormat": ["plaintext"]},
        "publishDiagnostics": {},
    }
}


class LanguageServer:
    """A server that runs; a context manager."""

    def __init__(self, command: Sequence[str | Path], directory: Path) -> None:
        self._process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._numbers = 0
        self.notifications: list[dict[str, Any]] = []
        parameters = {
            "processId": os.getpid(),
            "rootUri": directory.as_uri(),
            "capabilities": ABILITIES,
            "initializationOptions": {"handledSchemaProtocols": ["file"]},
        }
        self.ask("initialize", parameters)
        self.tell("initialized", {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, method: str, parameters: dict[str, Any]) -> None:
        """Send a notification."""
        self._send({"method": method, "params": parameters})

    def ask(self, method: str, parameters: dict[str, Any]) -> Any:
        """Send a request; its result. What else comes meanwhile is kept in `notifications`."""
        self._numbers += 1
        self._send({"id": self._numbers, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == self._numbers and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._keep(message)

    def until(self, method: str) -> dict[str, Any]:
        """The parameters of the next notification of this kind."""
        while True:
            for message in self.notifications:
                if message["method"] == method:
                    self.notifications.remove(message)
                    found: dict[str, Any] = message["params"]
                    return found
            self._keep(self._receive())

    def _keep(self, message: dict[str, Any]) -> None:
        self.notifications.append(message)
        if "id" in message:  # it asks for what we do not have
            self._send({"id": message["id"], "result": None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server has ended"
        found: dict[str, Any] = json.loads(self._process.stdout.read(length))
        return found

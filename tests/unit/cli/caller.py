"""Calls the command line in this process, as its entry does, and keeps what it printed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ociruntime.cli.main import main


class Outcome:
    """What one call did."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    def json(self) -> Any:
        assert self.status == 0, self.stderr
        return json.loads(self.stdout)


def call(root: Path | None, *words: str) -> Outcome:
    """`ociruntime --root ROOT WORDS…`, without --root for None."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _redirected(1, out.fileno()), _redirected(2, err.fileno()):
            status = main([*(["--root", str(root)] if root else []), *words])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return Outcome(status, *texts)


@contextmanager
def _redirected(fd: int, target: int) -> Iterator[None]:
    saved = os.dup(fd)
    os.dup2(target, fd)
    try:
        yield
    finally:
        os.dup2(saved, fd)
        os.close(saved)

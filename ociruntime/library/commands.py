"""What the library asks of the zygote as a command line, because it has no operation of its own."""

from __future__ import annotations

import os
import tempfile
from typing import IO, TYPE_CHECKING

from ociruntime.errors import OciError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.library.answer import Answer
    from ociruntime.library.connection import Connection
    from ociruntime.library.options import PathLike
    from ociruntime.zygote.client import Reply

# How the command line begins its errors and warnings.
NAME, WARNING = "ociruntime: ", "warning: "


class Command:
    """A command that was asked for, and what it says on standard error."""

    def __init__(self, connection: Connection, words: Sequence[str]) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - until `finish`
        try:
            parameters = {"arguments": ["--root", connection.root, *words]}
            self.answer: Answer[Reply] = connection.ask(
                "command", parameters, {"stderr": self._said.fileno()}
            )
        except BaseException:
            self._said.close()
            raise

    def finish(self) -> list[str]:
        """Its warnings, when the answer is there or after it has come. Raises the ``OciError``."""
        with self._said:
            status = self.answer.result().take()["status"]
            self._said.seek(0)
            lines = [
                line.removeprefix(NAME) for line in os.fsdecode(self._said.read()).splitlines()
            ]
        warnings = [line.removeprefix(WARNING) for line in lines if line.startswith(WARNING)]
        if status:
            errors = [line for line in lines if not line.startswith(WARNING)]
            raise OciError(errors[-1] if errors else f"exit status {status}, without a word")
        return warnings


def checkpoint_words(
    container_id: str, path: PathLike, criu: PathLike | None, *, leave_running: bool
) -> list[str]:
    """The command line of ``checkpoint``."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: give a directory, not {path!r}")
    words = [] if criu is None else ["--criu", os.path.abspath(criu)]
    words += ["checkpoint", "--image-path", os.path.abspath(path)]
    return [*words, *(["--leave-running"] if leave_running else []), container_id]

"""Messages for people and engines: one line on stderr, and the same as a line of --log.

Engines read the last line of level ``error`` from the log and show its ``msg``, so that line alone
tells the whole story; their JSON parser needs ``time`` in RFC 3339 (docs/usage.md).
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.clock import now
from ociruntime.errors import OciError, one_line
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.logsink import Sink

NAME = "ociruntime"


class Log:
    """Where messages go. ``path`` is None for stderr alone; ``form`` is ``text`` or ``json``;
    ``sink`` is the host's log in place of a file, which ``path`` is the name of then.
    """

    __slots__ = ("debugging", "form", "path", "sink")

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self.path: str | None = None
        self.form = "text"
        self.debugging = False

    def open(self) -> None:
        """Fail early, with one clear line, when the log cannot be written."""
        if self.path is None:
            return
        try:
            if self.sink is not None:
                self.sink.check()
            else:
                os.close(self._append())
        except OSError as error:
            path, self.path, self.sink = self.path, None, None
            raise OciError(
                f"--log {path}: {error.strerror}; name a file that can be written"
            ) from None

    def error(self, message: str) -> None:
        """Say what made the command fail; the last such line is what an engine shows."""
        self._say("error", message)

    def warning(self, message: str) -> None:
        """Say what was ignored or left out."""
        self._say("warning", message)

    def debug(self, message: str) -> None:
        """Say what helps to find a fault, with --debug only."""
        if self.debugging:
            self._say("debug", message)

    def _say(self, level: str, message: str) -> None:
        message = one_line(message)
        if self.path is not None:
            self._write(level, message)
            if level != "error":
                return
        elif self.form == "json":
            # Who asks for JSON and names no file reads it here.
            _to_stderr(f"{_json(level, message)}\n")
            return
        prefix = "" if level == "error" else f"{level}: "
        _to_stderr(f"{NAME}: {prefix}{message}\n")

    def _write(self, level: str, message: str) -> None:
        if self.sink is not None:
            try:
                self.sink.write(level, message)
            except OSError as error:
                _to_stderr(f"{NAME}: --log {self.path}: {error.strerror}\n")
            return
        if self.form == "json":
            line = _json(level, message)
        else:
            line = f'time="{now()}" level={level} msg={dumps(message)}'
        try:
            fd = self._append()
        except OSError as error:
            _to_stderr(f"{NAME}: --log {self.path}: {error.strerror}\n")
            return
        try:
            # One write, so that lines of several commands do not mix.
            os.write(fd, line.encode("utf-8", "backslashreplace") + b"\n")
        except OSError as error:
            _to_stderr(f"{NAME}: --log {self.path}: {error.strerror}\n")
        finally:
            os.close(fd)

    def _append(self) -> int:
        assert self.path is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.path, flags, 0o644)


def _json(level: str, message: str) -> str:
    return dumps({"level": level, "msg": message, "time": now()})


def _to_stderr(text: str) -> None:
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # stderr is closed: there is nobody to tell

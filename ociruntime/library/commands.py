"""What the library asks of the zygote as a command line, because it has no operation of its own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

from ociruntime.errors import OciError
from ociruntime.library import arguments
from ociruntime.library.options import CheckpointOptions, RestoreOptions
from ociruntime.library.streams import ProcessStreams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ociruntime.library.answer import PendingAnswer
    from ociruntime.library.connection import ZygoteConnection
    from ociruntime.library.options import PathLike
    from ociruntime.zygote.client import Reply

# Options that are paths of the caller's.
PATHS = ("work_path", "console_socket", "pid_file")
STREAMS = ("stdin", "stdout", "stderr")
ERROR = "error"


class Command:
    """A command that was asked for, and what it says in its log.

    Parameters: ``words`` are its verb and what follows; ``options`` stand before the verb; ``fds``
    are its streams, which may outlive it.
    """

    def __init__(
        self,
        connection: ZygoteConnection,
        words: Sequence[str],
        options: Sequence[str] = (),
        fds: Mapping[str, int] | None = None,
    ) -> None:
        self._log: IO[bytes] = tempfile.NamedTemporaryFile()  # noqa: SIM115 - until `finish`
        try:
            known = ["--root", connection.root, "--cgroup-manager", connection.cgroup_manager]
            log = ["--log", self._log.name, "--log-format", "json"]
            parameters = {"arguments": [*known, *log, *options, *words]}
            self.answer: PendingAnswer[Reply] = connection.ask("command", parameters, fds)
        except BaseException:
            self._log.close()
            raise

    def finish(self) -> list[str]:
        """Its warnings, when the answer is there or after it has come. Raises the ``OciError``."""
        with self._log:
            status = self.answer.result().take()["status"]
            lines = [json.loads(line) for line in self._log.read().splitlines()]
        if status:
            errors = [line["msg"] for line in lines if line["level"] == ERROR]
            raise OciError(errors[-1] if errors else f"exit status {status}, without a word")
        return [line["msg"] for line in lines if line["level"] != ERROR]


def checkpoint(
    connection: ZygoteConnection, container_id: str, path: PathLike, options: CheckpointOptions
) -> Command:
    """Ask for a checkpoint."""
    arguments.check_keywords("checkpoint", options, _keywords(CheckpointOptions))
    words = ["checkpoint", "--image-path", _path("path", path), *_words(options), container_id]
    return Command(connection, words, _criu(options))


def restore(
    connection: ZygoteConnection,
    bundle: PathLike,
    path: PathLike,
    container_id: str,
    options: RestoreOptions,
) -> Command:
    """Ask for a container to be made of the images in ``path``."""
    arguments.check_keywords("restore", options, _keywords(RestoreOptions))
    words = ["restore", "--detach", "--bundle", _path("bundle", bundle)]
    words += ["--image-path", _path("path", path), *_words(options), container_id]
    streams = ProcessStreams(options.get("stdin"), options.get("stdout"), options.get("stderr"))
    try:
        if streams.stdin or streams.stdout or streams.stderr:
            raise TypeError("restore: give descriptors, files or DEVNULL for streams, not PIPE")
        return Command(connection, words, _criu(options), streams.fds)
    finally:
        streams.close()


def mounts(connection: ZygoteConnection, verb: str, container_id: str, entries: object) -> Command:
    """Ask for mounts (config.json's form) to be added or removed."""
    given = list(entries) if isinstance(entries, Iterable) else [entries]
    listed = [dict(entry) for entry in given if isinstance(entry, Mapping)]
    if len(listed) < len(given):
        raise TypeError(f"{verb}_mounts: give a list of mounts as in config.json, not {entries!r}")
    with tempfile.TemporaryFile() as document:
        document.write(json.dumps(listed).encode())
        document.seek(0)
        words = ["mounts", verb, container_id, "-"]
        return Command(connection, words, fds={"stdin": document.fileno()})


def _keywords(options: type) -> dict[str, Any]:
    return dict(options.__annotations__)


def _path(name: str, given: object) -> str:
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"{name}: give a path, not {given!r}")
    return os.path.abspath(os.fspath(given))


def _criu(options: Mapping[str, Any]) -> list[str]:
    given = options.get("criu")
    return [] if given is None else ["--criu", _path("criu", given)]


def _words(options: Mapping[str, Any]) -> list[str]:
    """The words of a command line for keywords that are given and not False."""
    found = []
    for name, value in options.items():
        if name == "criu" or name in STREAMS or value is None or value is False:
            continue
        found.append(f"--{name.replace('_', '-')}")
        if value is not True:
            found.append(_path(name, value) if name in PATHS else str(value))
    return found

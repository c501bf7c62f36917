"""A container, from the outside."""

from __future__ import annotations

import contextlib
import os
import signal as signals
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypedDict, Unpack

from ociruntime.errors import NotFound, StateError, UsageError
from ociruntime.library.streams import Stream, Streams

if TYPE_CHECKING:
    from ociruntime.library.bundle import PathLike
    from ociruntime.library.connection import Connection
    from ociruntime.library.process import ExitStatus, Process


class ProcessOptions(TypedDict, total=False):
    """How a process is connected; of ``create``, ``run`` and ``exec``.

    stdin, stdout, stderr  descriptors, files, PIPE, DEVNULL (the default) or (stderr only) STDOUT
    terminal        our end of its terminal is ``Process.terminal``
    preserve_fds    become its descriptors from 3 on
    console_socket  path of a listening socket that gets the terminal's master instead
    pid_file        path of a file that gets its pid
    pidfd_socket    path of a listening socket that gets its pidfd
    """

    stdin: Stream
    stdout: Stream
    stderr: Stream
    terminal: bool
    preserve_fds: Sequence[int]
    console_socket: PathLike
    pid_file: PathLike
    pidfd_socket: PathLike


class CreateOptions(ProcessOptions, total=False):
    """Of ``create`` and ``run``.

    config       path of the configuration, relative to the bundle (config.json)
    pivot        False: no pivot_root(2), for a rootfs on an initramfs
    new_keyring  False: no session keyring of its own
    """

    config: PathLike
    pivot: bool
    new_keyring: bool


class ExecOptions(ProcessOptions, total=False):
    """Of ``exec``.

    ignore_paused  True: in a paused container, wait for its resume
    """

    ignore_paused: bool


PATHS = ("console_socket", "pid_file", "pidfd_socket")


@dataclass(frozen=True)
class State:
    """A container's state (runtime.md#state).

    status  creating, created, running, paused or stopped
    pid     of its first process as this program sees it, 0 when it has ended
    """

    id: str
    status: str
    pid: int
    bundle: str
    created: str
    rootfs: str = ""
    owner: str = ""
    oci_version: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


class Container:
    """A container of ``runtime``; a context manager that removes it, whatever state it is in.

    ``process`` is its first process: None for a container that another program created, of which
    only the id is known.
    """

    def __init__(
        self, runtime: Connection, container_id: str, process: Process | None = None
    ) -> None:
        self.runtime = runtime
        self.id = container_id
        self.process = process

    @classmethod
    def create(
        cls,
        runtime: Connection,
        bundle: PathLike,
        container_id: str,
        *,
        start: bool = False,
        **options: Unpack[CreateOptions],
    ) -> Self:
        """Create a container from a bundle; its program waits for ``start``.

        Parameters: ``start`` starts it at once, and removes it when that fails; ``options`` are
        those of ``CreateOptions``; ``terminal`` is for a config whose process.terminal is true.
        Raises ``OciError``; nothing is left then.
        """
        operation = "run" if start else "create"
        parameters = {"id": container_id, "bundle": os.path.abspath(bundle)}
        process = _make(runtime, operation, parameters, options, CreateOptions)
        return cls(runtime, container_id, process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            with contextlib.suppress(NotFound):
                self.delete(force=True)
        finally:
            if self.process is not None:
                self.process.close()

    def __repr__(self) -> str:
        return f"<Container {self.id}>"

    @property
    def stdin(self) -> BinaryIO | None:
        """Our end of its first process's stdin."""
        return self.process.stdin if self.process else None

    @property
    def stdout(self) -> BinaryIO | None:
        """Our end of its first process's stdout."""
        return self.process.stdout if self.process else None

    @property
    def stderr(self) -> BinaryIO | None:
        """Our end of its first process's stderr."""
        return self.process.stderr if self.process else None

    def start(self) -> list[str]:
        """Execute its program; returns warnings. Raises ``OciError``, ``WrongStatus``."""
        return self._call("start")

    def state(self) -> State:
        """What is known about it now. Raises ``NotFound``."""
        found = self.runtime.call("state", {"id": self.id}).take()
        return State(
            id=found["id"],
            status=found["status"],
            pid=found["pid"],
            bundle=found["bundle"],
            created=found["created"],
            rootfs=found["rootfs"],
            owner=found["owner"],
            oci_version=found["ociVersion"],
            annotations=found.get("annotations", {}),
        )

    def kill(self, signal: int = signals.SIGTERM, *, everything: bool = False) -> None:
        """Send a signal to its first process, or to ``everything`` in it. Raises
        ``WrongStatus``.
        """
        self._call("kill", signal=int(signal), all=everything)

    def pause(self) -> None:
        """Freeze all its processes. Raises ``WrongStatus``."""
        self._call("pause")

    def resume(self) -> None:
        """Let them go on. Raises ``WrongStatus``."""
        self._call("resume")

    def update(self, resources: Mapping[str, Any]) -> list[str]:
        """Change its limits: ``resources`` is as linux.resources of config.json, and what it does
        not name stays as it is. Returns warnings; raises ``SpecError``, ``OciError``.
        """
        return self._call("update", resources=dict(resources))

    def delete(self, *, force: bool = False) -> list[str]:
        """Remove it; one that runs only by ``force``. Returns warnings; raises ``WrongStatus``."""
        warnings = self._call("delete", force=force)
        if self.process is not None:
            self.process.close()
        return warnings

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for the end of its first process; raises ``TimeoutError`` after ``timeout``
        seconds.
        """
        return self._first().wait(timeout)

    async def ended(self) -> ExitStatus:
        """``wait`` for asyncio."""
        return await self._first().ended()

    def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Feed its first process's stdin, and return what its stdout and stderr say until their
        ends.
        """
        return self._first().communicate(data, timeout)

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: tuple[int, int] | None = None,
        process: Mapping[str, Any] | None = None,
        **options: Unpack[ExecOptions],
    ) -> Process:
        """Run one more process in it.

        It is the container's own process with other ``args``, ``env`` added, and another ``cwd``
        and ``user`` (uid, gid); or it is ``process`` (as config.json's) with those changes.
        ``options`` are those of ``ExecOptions``. Raises ``OciError`` or ``WrongStatus``; nothing is
        left then.
        """
        changes: dict[str, Any] = {"args": list(args)} if args else {}
        if options.get("terminal") or options.get("console_socket"):
            changes["terminal"] = True
        if cwd is not None:
            changes["cwd"] = cwd
        if user is not None:
            changes["user"] = {"uid": user[0], "gid": user[1]}
        parameters = {
            "id": self.id,
            "changes": changes,
            "env": [f"{name}={value}" for name, value in (env or {}).items()],
        }
        if process is not None:
            parameters["process"] = dict(process)
        return _make(self.runtime, "exec", parameters, options, ExecOptions)

    def _first(self) -> Process:
        if self.process is None:
            raise StateError(
                f"container {self.id} was created by another program: only its parent is told how "
                "it ends; watch its state instead"
            )
        return self.process

    def _call(self, operation: str, **parameters: Any) -> list[str]:
        reply = self.runtime.call(operation, {"id": self.id, **parameters})
        warnings: list[str] = reply.take()["warnings"]
        return warnings


def _make(
    runtime: Connection,
    operation: str,
    parameters: dict[str, Any],
    options: CreateOptions | ExecOptions,
    known: type[CreateOptions | ExecOptions],
) -> Process:
    """Have ``operation`` make a process."""
    rest: dict[str, Any] = dict(options)
    unknown = sorted(rest.keys() - known.__annotations__.keys())
    if unknown:
        names = ", ".join(known.__annotations__)
        raise UsageError(f"{operation}: unknown option {unknown[0]}; there are {names}")
    for name in PATHS:
        if rest.get(name) is not None:
            rest[name] = os.path.abspath(rest[name])
    if rest.get("config") is not None:
        rest["config"] = os.fspath(rest["config"])
    streams = Streams(rest.pop("stdin", None), rest.pop("stdout", None), rest.pop("stderr", None))
    preserve_fds = rest.pop("preserve_fds", ())
    terminal = rest.pop("terminal", False)
    given = {name: value for name, value in rest.items() if value is not None}
    return runtime.make(
        operation, {**parameters, **given}, streams, preserve_fds, terminal=terminal
    )

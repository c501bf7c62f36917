"""A container, from the outside."""

from __future__ import annotations

import contextlib
import os
import signal as signals
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from ociruntime.errors import NotFound, StateError
from ociruntime.library.streams import Stream, Streams
from ociruntime.process.foreground import receive_master

if TYPE_CHECKING:
    from ociruntime.library.bundle import PathLike
    from ociruntime.library.process import ExitStatus, Process
    from ociruntime.library.runtime import Runtime
    from ociruntime.zygote.client import Reply


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

    def __init__(self, runtime: Runtime, container_id: str, process: Process | None = None) -> None:
        self.runtime = runtime
        self.id = container_id
        self.process = process

    @classmethod
    def create(
        cls,
        runtime: Runtime,
        bundle: PathLike,
        container_id: str,
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        terminal: bool = False,
        preserve_fds: Sequence[int] = (),
        start: bool = False,
        **options: Any,
    ) -> Self:
        """Create a container from a bundle; its program waits for ``start``.

        Parameters: the streams are descriptors, files, PIPE, DEVNULL (the default) or (stderr only)
        STDOUT; with ``terminal``, for a config whose process.terminal is true, ``process.terminal``
        is the master; ``preserve_fds`` become the process's descriptors from 3 on; ``start`` starts
        it at once, and removes it when that fails; ``options``: config, console_socket, pid_file,
        pidfd_socket, pivot, new_keyring (see ``ociruntime create --help``). Raises ``OciError``;
        nothing is left then.
        """
        parameters = {"id": container_id, "bundle": os.path.abspath(bundle), **_plain(options)}
        process = runtime.make(
            "run" if start else "create",
            parameters,
            Streams(stdin, stdout, stderr),
            preserve_fds,
            terminal=terminal,
        )
        return cls(runtime, container_id, process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(NotFound):
            self.delete(force=True)

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
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        terminal: bool = False,
        preserve_fds: Sequence[int] = (),
        process: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Process:
        """Run one more process in it.

        It is the container's own process with other ``args``, ``env`` added, and another ``cwd``
        and ``user`` (uid, gid); or exactly ``process`` (as config.json's), where only ``args`` is
        replaced, unless empty. Streams as in ``create``; ``options``: console_socket, pid_file,
        pidfd_socket, ignore_paused. Raises ``OciError`` or ``WrongStatus``.
        """
        changes: dict[str, Any] = {"args": list(args)} if args else {}
        changes["terminal"] = terminal
        if cwd is not None:
            changes["cwd"] = cwd
        if user is not None:
            changes["user"] = {"uid": user[0], "gid": user[1]}
        parameters = {
            "id": self.id,
            "changes": changes,
            "env": [f"{name}={value}" for name, value in (env or {}).items()],
            **_plain(options),
        }
        if process is not None:
            parameters["process"] = dict(process)
        streams = Streams(stdin, stdout, stderr)
        return self.runtime.make("exec", parameters, streams, preserve_fds, terminal=terminal)

    def _first(self) -> Process:
        if self.process is None:
            raise StateError(
                f"container {self.id} was created by another program: only its parent is told how "
                "it ends; watch its state instead"
            )
        return self.process

    def _call(self, operation: str, **parameters: Any) -> list[str]:
        reply: Reply = self.runtime.call(operation, {"id": self.id, **parameters})
        warnings: list[str] = reply.take()["warnings"]
        return warnings


class Console:
    """The socket pair over which the master of a terminal comes."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.ours = ours.detach()
        self.theirs = theirs.detach()

    def receive(self) -> int:
        """The master; -1 when none came."""
        os.close(self.theirs)
        return receive_master(self.ours)

    def close(self) -> None:
        """Without receiving anything."""
        os.close(self.theirs)
        os.close(self.ours)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as absolute text, the rest as it is."""
    return {
        name: os.path.abspath(value) if isinstance(value, (str, os.PathLike)) else value
        for name, value in options.items()
        if value is not None
    }

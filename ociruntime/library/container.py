"""A container, from the outside."""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Self, Unpack

from ociruntime.errors import NotFound, StateError
from ociruntime.library import arguments, commands
from ociruntime.library.connection import MakingProcess
from ociruntime.library.options import (
    CheckpointOptions,
    CreateOptions,
    ExecOptions,
    UpdateOptions,
)
from ociruntime.library.streams import ProcessStreams
from ociruntime.library.usage import (
    Attached,
    Event,
    ProcessInfo,
    Stats,
    check_interval,
    events_of,
    networks_of,
    processes_of,
    stats_of,
)
from ociruntime.zygote.client import ZygoteGone

if TYPE_CHECKING:
    from ociruntime.library.connection import ZygoteConnection
    from ociruntime.library.options import PathLike
    from ociruntime.library.process import ExitStatus, Process

PATHS = ("console_socket", "pid_file", "pidfd_socket")


@dataclass(frozen=True)
class State:
    """A container's state (runtime.md#state).

    status   creating, created, running, paused or stopped
    pid      of its first process as this program sees it, 0 when it has ended
    created  when, in UTC
    """

    id: str
    status: str
    pid: int
    bundle: str
    created: datetime
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
        self, runtime: ZygoteConnection, container_id: str, process: Process | None = None
    ) -> None:
        self.runtime = runtime
        self.id = container_id
        self.process = process
        # Kept, because a temporary bundle goes with the last who knows it.
        self.bundle: PathLike | None = None

    @classmethod
    def create(
        cls,
        runtime: ZygoteConnection,
        bundle: PathLike,
        container_id: str | None = None,
        *,
        start: bool = False,
        **options: Unpack[CreateOptions],
    ) -> Self:
        """Create a container from a bundle; its program waits for ``start``.

        Parameters: ``container_id`` is a new one for None; ``start`` starts it at once, and removes
        it when that fails; ``options`` are those of ``CreateOptions``; ``terminal`` is for a config
        whose process.terminal is true. Raises ``OciError``; nothing is left then.
        """
        making = creation(runtime, bundle, container_id, options, start=start)
        made = cls(runtime, making.parameters["id"], carried_out(making))
        made.bundle = bundle
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._remove()
        except Exception:
            raise
        except BaseException:
            self._remove()  # interrupted: it is removed all the same
            raise
        finally:
            if self.process is not None:
                self.process.close()

    def _remove(self) -> None:
        """Remove it, even if its zygote is gone or its runtime was closed meanwhile."""
        try:
            self.delete(force=True)
        except NotFound:
            return
        except ZygoteGone:
            another = self.runtime.another()
            try:
                another.call("delete", {"id": self.id, "force": True})
            except NotFound:
                return
            finally:
                another.close()

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
        return state_of(self.runtime.call("state", {"id": self.id}).take())

    def kill(self, signal: int | str = signals.SIGTERM, *, everything: bool = False) -> None:
        """Send a signal (``15``, ``signal.SIGTERM`` or ``"TERM"``) to its first process, or to
        ``everything`` in it. Raises ``WrongStatus``.
        """
        self._call("kill", signal=arguments.signal_number(signal), all=everything)

    def pause(self) -> None:
        """Freeze all its processes. Raises ``WrongStatus``."""
        self._call("pause")

    def resume(self) -> None:
        """Let them go on. Raises ``WrongStatus``."""
        self._call("resume")

    def update(
        self, resources: Mapping[str, Any] | None = None, **limits: Unpack[UpdateOptions]
    ) -> list[str]:
        """Change its limits: ``resources`` is as linux.resources of config.json, ``limits`` are the
        usual ones by their short names, and what neither names stays as it is. Returns warnings;
        raises ``TypeError``, ``SpecError``, ``OciError``.
        """
        return self._call("update", resources=changes(resources, limits))

    def stats(self) -> Stats:
        """What it uses now. Raises ``WrongStatus``, ``StateError`` without a cgroup."""
        return stats_of(self.runtime.root, self.id)

    def events(self, interval: float = 5.0) -> Iterator[Event]:
        """What it uses every ``interval`` seconds, and whenever memory has run out, until its first
        process ends. Raises as ``stats``.
        """
        return events_of(self.runtime.root, self.id, check_interval(interval))

    def ps(self) -> list[ProcessInfo]:
        """Its processes, by pid. Raises ``OciError`` when they cannot be told from others."""
        return processes_of(self.runtime.root, self.id)

    def networks(self) -> list[Attached]:
        """The networks that it is on, with its addresses and published ports."""
        return networks_of(self.id)

    def checkpoint(self, path: PathLike, **options: Unpack[CheckpointOptions]) -> list[str]:
        """Write its processes into files below ``path``, by CRIU, and remove it unless it is to go
        on; ``Runtime.restore`` makes a container of them. Returns warnings.

        Parameters: ``options`` are those of ``CheckpointOptions``. Raises ``OciError``: then it
        goes on as before.
        """
        return commands.checkpoint(self.runtime, self.id, path, options).finish()

    def add_mounts(self, mounts: Iterable[Mapping[str, Any]]) -> list[str]:
        """Attach mounts of config.json's form while it runs, all of them or none. Returns warnings;
        raises ``TypeError``, ``OciError``.
        """
        return commands.mounts(self.runtime, "add", self.id, mounts).finish()

    def remove_mounts(self, *destinations: str) -> None:
        """Unmount what is uppermost at each of these places in it. Raises ``OciError`` at the first
        that cannot be unmounted.
        """
        entries = [{"destination": place} for place in destinations]
        commands.mounts(self.runtime, "remove", self.id, entries).finish()

    def delete(self, *, force: bool = False) -> list[str]:
        """Remove it; one that runs only by ``force``. Returns warnings; raises ``WrongStatus``."""
        warnings = self._call("delete", force=force)
        if self.process is not None:
            self.process.close()
        return warnings

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for the end of its first process; raises ``Timeout`` after ``timeout`` seconds."""
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
        user: int | tuple[int, int] | None = None,
        process: Mapping[str, Any] | None = None,
        **options: Unpack[ExecOptions],
    ) -> Process:
        """Run one more process in it.

        It is the container's own process with other ``args``, ``env`` added, and another ``cwd``
        and ``user`` (uid, or uid and gid); or it is ``process`` (as config.json's) with those
        changes.
        ``options`` are those of ``ExecOptions``. Raises ``OciError`` or ``WrongStatus``; nothing is
        left then.
        """
        changes = {"args": args, "env": env, "cwd": cwd, "user": user}
        return carried_out(execution(self.runtime, self.id, changes, process, options))

    def _first(self) -> Process:
        if self.process is None:
            raise foreign(self.id)
        return self.process

    def _call(self, operation: str, **parameters: Any) -> list[str]:
        reply = self.runtime.call(operation, {"id": self.id, **parameters})
        warnings: list[str] = reply.take()["warnings"]
        return warnings


def foreign(container_id: str) -> StateError:
    """The error for who waits for a process that is not this program's."""
    return StateError(
        f"container {container_id} was created by another program: only its parent is told how it "
        "ends; watch its state instead"
    )


def state_of(found: Mapping[str, Any]) -> State:
    """The state that the zygote has told."""
    return State(
        id=found["id"],
        status=found["status"],
        pid=found["pid"],
        bundle=found["bundle"],
        created=datetime.fromisoformat(found["created"]),
        rootfs=found["rootfs"],
        owner=found["owner"],
        oci_version=found["ociVersion"],
        annotations=found.get("annotations", {}),
    )


def changes(resources: object, limits: UpdateOptions) -> dict[str, Any]:
    """linux.resources of what ``update`` was given."""
    arguments.check_keywords("update", limits, UpdateOptions.__annotations__)
    wanted = {} if resources is None else arguments.mapping("resources", resources)
    arguments.check_names("update", wanted, "resources")
    for name, values in arguments.limits(**limits).items():
        wanted[name] = {**(wanted.get(name) or {}), **values}
    return wanted


def creation(
    runtime: ZygoteConnection,
    bundle: PathLike,
    container_id: object,
    options: CreateOptions,
    *,
    start: bool,
) -> MakingProcess:
    """The request of ``create`` or ``run``."""
    if not isinstance(bundle, (str, os.PathLike)):
        raise TypeError(f"bundle: give a Bundle or the path of one, not {bundle!r}")
    parameters = {"id": arguments.container_id(container_id), "bundle": os.path.abspath(bundle)}
    operation = "run" if start else "create"
    return _making(runtime, operation, parameters, options, CreateOptions)


def execution(
    runtime: ZygoteConnection,
    container_id: str,
    given: Mapping[str, Any],
    process: object,
    options: ExecOptions,
) -> MakingProcess:
    """The request of ``exec``; ``given`` is args, env, cwd and user."""
    changed: dict[str, Any] = {}
    if isinstance(given["args"], (str, bytes)) or given["args"] or process is None:
        changed["args"] = arguments.command(given["args"])
    if options.get("terminal") or options.get("console_socket"):
        changed["terminal"] = True
    if given["cwd"] is not None:
        if not isinstance(given["cwd"], str):
            raise TypeError(f"cwd: give a path in the container, not {given['cwd']!r}")
        changed["cwd"] = given["cwd"]
    if given["user"] is not None:
        changed["user"] = arguments.user(given["user"])
    env = arguments.environment(given["env"] or {})
    parameters = {
        "id": container_id,
        "changes": changed,
        "env": [f"{name}={value}" for name, value in env.items()],
    }
    if process is not None:
        parameters["process"] = arguments.mapping("process", process)
        arguments.check_names("process", parameters["process"], "process")
    return _making(runtime, "exec", parameters, options, ExecOptions)


def carried_out(making: MakingProcess) -> Process:
    """Wait for the process. When that is interrupted (Ctrl-C) it is taken back, or its
    container.
    """
    try:
        making.send()
        return making.finish()
    except BaseException:
        making.abandon()
        raise


def _making(
    runtime: ZygoteConnection,
    operation: str,
    parameters: dict[str, Any],
    options: CreateOptions | ExecOptions,
    known: type[CreateOptions | ExecOptions],
) -> MakingProcess:
    arguments.check_keywords(operation, options, known.__annotations__)
    rest: dict[str, Any] = dict(options)
    for name in PATHS:
        if rest.get(name) is not None:
            rest[name] = os.path.abspath(rest[name])
    if rest.get("cgroups") is not None:
        rest["cgroups"] = arguments.words("cgroups", rest["cgroups"])
    if rest.get("config") is not None:
        rest["config"] = os.fspath(rest["config"])
    given = (rest.pop(name, None) for name in ("stdin", "stdout", "stderr"))
    streams = ProcessStreams(*given)
    preserve_fds = rest.pop("preserve_fds", ())
    terminal = rest.pop("terminal", False)
    wanted = {name: value for name, value in rest.items() if value is not None}
    return MakingProcess(
        runtime, operation, {**parameters, **wanted}, streams, preserve_fds, terminal=terminal
    )

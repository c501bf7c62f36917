"""The library for asyncio: the same names and arguments, with ``await``, ``async with`` and
``async for``. No call blocks the event loop for longer than a message to the zygote takes.

What an object waits for belongs to the loop that runs when it is made.
"""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

from ociruntime.errors import NotFound, OciError
from ociruntime.library import arguments, commands
from ociruntime.library.aioprocess import AsyncProcess, carried_out
from ociruntime.library.aiowait import Pending, readable, told
from ociruntime.library.bundle import Bundle
from ociruntime.library.connection import ZygoteConnection
from ociruntime.library.container import (
    State,
    changes,
    creation,
    execution,
    foreign,
    state_of,
)
from ociruntime.library.usage import (
    Attached,
    Event,
    ProcessInfo,
    Stats,
    check_interval,
    event,
    networks_of,
    opened,
    processes_of,
    stats_of,
)
from ociruntime.lifecycle.events import Source
from ociruntime.state.store import Store
from ociruntime.zygote.client import ZygoteGone

if TYPE_CHECKING:
    from ociruntime.library.commands import Command
    from ociruntime.library.options import (
        CheckpointOptions,
        ConfigOptions,
        CreateOptions,
        ExecOptions,
        PathLike,
        RestoreOptions,
        UpdateOptions,
    )
    from ociruntime.library.process import ExitStatus

async def finished(command: Command) -> list[str]:
    """Its warnings, once it has ended; raises the ``OciError``."""
    await told(command.answer)
    return command.finish()


class AsyncContainer:
    """A container; ``async with`` removes it, whatever state it is in.

    ``process`` is its first process: None for one that another program created.
    """

    def __init__(
        self, runtime: ZygoteConnection, container_id: str, process: AsyncProcess | None = None
    ) -> None:
        self.runtime = runtime
        self.id = container_id
        self.process = process
        # Kept, because a temporary bundle goes with the last who knows it.
        self.bundle: PathLike | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        # A task that is cancelled meanwhile waits until the container is gone, and ends then.
        removing = asyncio.ensure_future(self._remove())
        cancelled: asyncio.CancelledError | None = None
        while not removing.done():
            try:
                await asyncio.shield(removing)
            except asyncio.CancelledError as error:
                cancelled = error
            except OciError:
                break
        if self.process is not None:
            self.process.close()
        removing.result()
        if cancelled is not None:
            raise cancelled

    def __repr__(self) -> str:
        return f"<AsyncContainer {self.id}>"

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Our end of its first process's stdin."""
        return self.process.stdin if self.process else None

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """Our end of its first process's stdout: ``async for line in container.stdout``."""
        return self.process.stdout if self.process else None

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """Our end of its first process's stderr."""
        return self.process.stderr if self.process else None

    async def start(self) -> list[str]:
        """Execute its program; returns warnings. Raises ``OciError``, ``WrongStatus``."""
        return await self._call("start")

    async def state(self) -> State:
        """What is known about it now. Raises ``NotFound``."""
        return state_of((await told(self.runtime.ask("state", {"id": self.id}))).take())

    async def kill(
        self, signal: int | str = signals.SIGTERM, *, everything: bool = False
    ) -> None:
        """Send a signal to its first process, or to ``everything`` in it."""
        await self._call("kill", signal=arguments.signal_number(signal), all=everything)

    async def pause(self) -> None:
        """Freeze all its processes. Raises ``WrongStatus``."""
        await self._call("pause")

    async def resume(self) -> None:
        """Let them go on. Raises ``WrongStatus``."""
        await self._call("resume")

    async def update(
        self, resources: Mapping[str, Any] | None = None, **limits: Unpack[UpdateOptions]
    ) -> list[str]:
        """Change its limits; see ``Container.update``."""
        return await self._call("update", resources=changes(resources, limits))

    async def checkpoint(self, path: PathLike, **options: Unpack[CheckpointOptions]) -> list[str]:
        """Write its processes into files; see ``Container.checkpoint``."""
        return await finished(commands.checkpoint(self.runtime, self.id, path, options))

    async def add_mounts(self, mounts: Iterable[Mapping[str, Any]]) -> list[str]:
        """Attach mounts while it runs; see ``Container.add_mounts``."""
        return await finished(commands.mounts(self.runtime, "add", self.id, mounts))

    async def remove_mounts(self, *destinations: str) -> None:
        """Unmount what is at these places; see ``Container.remove_mounts``."""
        entries = [{"destination": place} for place in destinations]
        await finished(commands.mounts(self.runtime, "remove", self.id, entries))

    async def delete(self, *, force: bool = False) -> list[str]:
        """Remove it; one that runs only by ``force``. Returns warnings; raises ``WrongStatus``."""
        warnings = await self._call("delete", force=force)
        if self.process is not None:
            self.process.close()
        return warnings

    async def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait for the end of its first process; raises ``Timeout`` after ``timeout`` seconds."""
        return await self._first().wait(timeout)

    async def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Feed its first process's stdin, and return what its stdout and stderr say until their
        ends.
        """
        return await self._first().communicate(data, timeout)

    def exec(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: int | tuple[int, int] | None = None,
        process: Mapping[str, Any] | None = None,
        **options: Unpack[ExecOptions],
    ) -> Pending[AsyncProcess]:
        """Run one more process in it; see ``Container.exec``."""
        given = {"args": args, "env": env, "cwd": cwd, "user": user}

        async def make() -> AsyncProcess:
            return await carried_out(execution(self.runtime, self.id, given, process, options))

        return Pending(make)

    async def stats(self) -> Stats:
        """What it uses now. Raises ``WrongStatus``, ``StateError`` without a cgroup."""
        return await asyncio.to_thread(stats_of, self.runtime.root, self.id)

    async def events(self, interval: float = 5.0) -> AsyncIterator[Event]:
        """What it uses every ``interval`` seconds, and whenever memory has run out, until its first
        process ends. Raises as ``stats``.
        """
        seconds = check_interval(interval)
        with (
            opened(self.runtime.root, self.id) as container,
            Source(container, seconds) as source,
        ):
            while not source.ended:
                await readable(source.fileno(), source.patience())
                for found in source.collect(0):
                    yield event(container, found)

    async def ps(self) -> list[ProcessInfo]:
        """Its processes, by pid. Raises ``OciError`` when they cannot be told from others."""
        return await asyncio.to_thread(processes_of, self.runtime.root, self.id)

    async def networks(self) -> list[Attached]:
        """The networks that it is on, with its addresses and published ports."""
        return await asyncio.to_thread(networks_of, self.id)

    def _first(self) -> AsyncProcess:
        if self.process is None:
            raise foreign(self.id)
        return self.process

    async def _call(self, operation: str, **parameters: Any) -> list[str]:
        reply = await told(self.runtime.ask(operation, {"id": self.id, **parameters}))
        warnings: list[str] = reply.take()["warnings"]
        return warnings

    async def _remove(self) -> None:
        """Remove it, even if its zygote is gone or its runtime was closed meanwhile."""
        try:
            await self._call("delete", force=True)
        except NotFound:
            return
        except ZygoteGone:
            another = self.runtime.another()
            try:
                await told(another.ask("delete", {"id": self.id, "force": True}))
            except NotFound:
                return
            finally:
                await asyncio.to_thread(another.close)


class AsyncRuntime(ZygoteConnection):
    """All containers below one state directory, for the tasks of an event loop."""

    def __init__(
        self,
        root: PathLike | None = None,
        *,
        launcher: PathLike | None = None,
        cgroup_manager: str = "cgroupfs",
    ) -> None:
        """As ``Runtime``."""
        super().__init__(root, launcher, cgroup_manager)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncRuntime {self.root}>"

    async def aclose(self) -> None:
        """End the zygote; containers stay. A second call does nothing."""
        await asyncio.to_thread(self.close)

    def bundle(
        self, rootfs: PathLike, args: Sequence[str], **options: Unpack[ConfigOptions]
    ) -> Bundle:
        """As ``Runtime.bundle``."""
        return Bundle.for_runtime(self, rootfs, args, options)

    def create(
        self, bundle: PathLike, container_id: str | None = None, **options: Unpack[CreateOptions]
    ) -> Pending[AsyncContainer]:
        """Create a container; see ``Container.create``."""
        return self._pending(bundle, container_id, options, start=False)

    def run(
        self, bundle: PathLike, container_id: str | None = None, **options: Unpack[CreateOptions]
    ) -> Pending[AsyncContainer]:
        """Create a container and start it; see ``Container.create``."""
        return self._pending(bundle, container_id, options, start=True)

    async def restore(
        self,
        bundle: PathLike,
        path: PathLike,
        container_id: str | None = None,
        **options: Unpack[RestoreOptions],
    ) -> AsyncContainer:
        """Make a container of what a checkpoint has written; see ``Runtime.restore``."""
        found = AsyncContainer(self, arguments.container_id(container_id))
        found.bundle = bundle
        await finished(commands.restore(self, bundle, path, found.id, options))
        return found

    async def container(self, container_id: str) -> AsyncContainer:
        """The container of this id, whoever created it. Raises ``NotFound``."""
        found = AsyncContainer(self, arguments.container_id(container_id))
        await found.state()
        return found

    async def containers(self) -> list[AsyncContainer]:
        """All containers, sorted by id."""
        return [AsyncContainer(self, container_id) for container_id in Store(self.root).ids()]

    def _pending(
        self, bundle: PathLike, container_id: str | None, options: CreateOptions, *, start: bool
    ) -> Pending[AsyncContainer]:
        async def make() -> AsyncContainer:
            making = creation(self, bundle, container_id, options, start=start)
            process = await carried_out(making)
            made = AsyncContainer(self, making.parameters["id"], process)
            made.bundle = bundle
            return made

        return Pending(make)

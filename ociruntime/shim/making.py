"""Making a process of a container: its streams, then whoever makes it, then what comes of it."""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socketpair

from ociruntime.process.foreground import receive_master
from ociruntime.shim import ttrpc
from ociruntime.shim.records import note
from ociruntime.shim.stdio import Streams
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ociruntime.resident.loop import Loop
    from ociruntime.shim.copier import Copier
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.lifetimes import Lifetimes
    from ociruntime.shim.task import Process, Task
    from ociruntime.shim.worker import Workers

    # Gets streams, an extra descriptor or -1, and what to call with the pid.
    Maker = Callable[[list[int], int, Callable[[int], None]], Awaitable[object]]


class Making:
    """Makes processes for the daemon of a ``namespace``; a ``copier`` touches their pipes."""

    __slots__ = ("_journal", "_lifetimes", "_loop", "_namespace", "_workers", "copier")

    def __init__(
        self,
        loop: Loop,
        workers: Workers,
        lifetimes: Lifetimes,
        namespace: str,
        journal: NoJournal,
    ) -> None:
        self._journal = journal
        self._loop = loop
        self._workers = workers
        self._lifetimes = lifetimes
        self._namespace = namespace
        self.copier: Copier | None = None

    async def make(self, process: Process, task: Task, run: Maker) -> None:
        """Make a process of ``task`` with its streams; nothing is left of them on failure."""
        streams = Streams(
            self._loop, self._workers.log.warning, self._journal, copier=self.copier
        )
        ends = None
        try:
            environment = {"CONTAINER_ID": process.id, "CONTAINER_NAMESPACE": self._namespace}
            await streams.open(process.wanted, environment)
            process.number = streams.number
            note(self._journal, process)
            extra = -1
            if process.wanted.terminal:
                ends = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
                extra = ends[1].fileno()

            def made(pid: int) -> None:
                process.pid = pid
                self._lifetimes.follow(process, task)

            await run(streams.inside, extra, made)
            streams.close_inside()
            if ends is not None:
                ends[1].close()
                master = receive_master(ends[0].detach())
                if master < 0:
                    raise RpcError(ttrpc.UNKNOWN, "the process has sent no terminal")
                streams.attach(master)
        except BaseException:
            streams.close()
            raise
        finally:
            if ends is not None:
                for end in ends:
                    end.close()
        process.take(streams)

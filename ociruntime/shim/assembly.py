"""What a daemon is made of, whoever's it is."""

from __future__ import annotations

from _socket import socket

from ociruntime import hostos as os
from ociruntime.shim.copier import Copier
from ociruntime.shim.events import Publisher
from ociruntime.shim.execs import Execs
from ociruntime.shim.lasting import LastingConnection
from ociruntime.shim.service import Tasks
from ociruntime.shim.ttrpc import Connection, Server
from ociruntime.shim.worker import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.log import Log
    from ociruntime.resident.exits import Exits
    from ociruntime.resident.loop import Loop
    from ociruntime.shim.journal import NoJournal

FLUSH_SECONDS = 5.0
# The listening socket's name at the keeper.
LISTENER = "listener"


class Orders:
    """What `start` has found out (``bootstrap.Boot.for_daemon``). ``first`` is the container that a
    daemon of many pods waits for, empty for the daemon of a pod.
    """

    __slots__ = ("address", "binary", "debug", "first", "namespace", "path", "ttrpc")

    def __init__(self, data: bytes) -> None:
        words = data.decode("utf-8", "surrogateescape").split("\0")
        self.path, self.namespace, self.ttrpc, self.address, self.binary, debug, first = words
        self.debug = bool(debug)
        self.first = first


def assemble(
    loop: Loop, exits: Exits, listener: socket, orders: Orders, log: Log, journal: NoJournal
) -> Tasks:
    """Serve at ``listener`` as soon as the loop runs; it stops when there is nothing to do."""
    publish = [orders.binary, "--address", orders.address, "publish"] if orders.binary else []
    publisher = Publisher(loop, log, orders.namespace, orders.ttrpc, publish)
    publisher.exits = exits
    publisher.journal = journal
    execs = Execs(loop, exits, log)
    workers = Workers(exits, log, lasting=journal.lasting)
    tasks = Tasks(loop, workers, execs, exits, publisher, orders.namespace, journal)
    if journal.lasting:
        tasks.making.copier = Copier(loop, exits, log.warning)

    def accepted(end: socket) -> None:
        if journal.lasting:
            LastingConnection(loop, end, tasks.handle, journal)
        else:
            Connection(loop, end, tasks.handle)

    server = Server(loop, listener, accepted)

    async def end() -> None:
        try:
            os.unlink(orders.path)
        except FileNotFoundError:
            pass
        # Now: the next one may listen at the path as soon as nobody does.
        server.close()
        journal.release(LISTENER)
        await publisher.flush(FLUSH_SECONDS)
        await loop.sleep(0)  # the answer to Shutdown is on its way first
        loop.stop()

    tasks.shutdown = lambda: loop.spawn(end())
    return tasks

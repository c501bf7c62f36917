"""The resident process of a pod: from the fork in `start` until containerd's Shutdown."""

from __future__ import annotations

import gc

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.shim.events import Publisher
from ociruntime.shim.exits import Exits
from ociruntime.shim.loop import Loop
from ociruntime.shim.service import Tasks
from ociruntime.shim.ttrpc import Server
from ociruntime.shim.worker import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import NoReturn

    from ociruntime.log import Log
    from ociruntime.shim.bootstrap import Boot

LOG_FIFO = "log"
PROCESS_NAME = b"ociruntime-shim"
PR_SET_NAME = 15
FLUSH_SECONDS = 5.0


def serve(listener: socket, path: str, boot: Boot, log: Log) -> NoReturn:
    """Be the daemon that listens on ``listener``, bound to ``path``; never returns."""
    status = 1
    try:
        _detach(listener)
        log.debugging = boot.debug
        _run(listener, path, boot, log)
        status = 0
    except BaseException as error:  # noqa: BLE001 - it is reported, and ends the process
        text = f"shim: {type(error).__name__}: {error}"
        log.error(text)
    finally:
        os._exit(status)


def _detach(listener: socket) -> None:
    """Be nobody's child and hold nothing: containerd waits for the end of `start`'s output."""
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        # containerd holds the other end; when it has died a full fifo must not stop us.
        log = os.open(LOG_FIFO, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        log = null
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(log, 2)
    os.chdir("/")  # the bundle can be removed
    kernel = Kernel()
    keep = listener.fileno()
    if keep > 3:
        kernel.close_from(3, keep - 1)
    kernel.close_from(keep + 1)
    kernel.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    # Workers enter containers as copies of this process.
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    kernel.prctl(PR_SET_NAME, PROCESS_NAME)


def _run(listener: socket, path: str, boot: Boot, log: Log) -> None:
    loop = Loop()
    exits = Exits()
    exits.start(loop)
    publish = [boot.binary, "--address", boot.address, "publish"] if boot.binary else []
    publisher = Publisher(loop, log, boot.namespace, boot.ttrpc, publish)
    publisher.exits = exits
    tasks = Tasks(loop, Workers(exits, log), exits, publisher, boot.namespace)
    server = Server(loop, listener, tasks.handle)

    async def end() -> None:
        server.close()
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        await publisher.flush(FLUSH_SECONDS)
        await loop.sleep(0)  # the answer to Shutdown is on its way first
        loop.stop()

    tasks.shutdown = lambda: loop.spawn(end())
    # What is loaded now stays, and is shared with every worker.
    gc.freeze()
    gc.enable()
    loop.run()

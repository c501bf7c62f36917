"""The daemon of many pods: the first of a keeper's, and its successors."""

from __future__ import annotations

import gc
import marshal
from _socket import MSG_DONTWAIT, socket
from select import EPOLLIN

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.resident.loop import Loop
from ociruntime.shim.assembly import LISTENER, Orders, assemble
from ociruntime.shim.exits import KeptExits
from ociruntime.shim.journal import LOST, RECORDS, Journal, read
from ociruntime.shim.keeper import LONGEST, inherit, part
from ociruntime.shim.openfiles import limit
from ociruntime.shim.shared import keep
from ociruntime.shim.succession import Succession, keeper_lost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ociruntime.log import Log
    from ociruntime.shim.service import Tasks

PROCESS_NAME = b"ociruntime-shim"
PR_SET_NAME = 15
# What our own command line is read up to.
LONGEST_COMMAND = 1 << 16


def serve(listener: socket, data: bytes, log: Log) -> None:
    """Be the first daemon for ``data``, the orders; the process itself becomes the keeper."""
    orders = Orders(data)
    limit.raise_limit()
    command = [_program(), "-namespace", orders.namespace, "-id", orders.first, "adopt"]
    channel = part(command, (data, limit.soft, limit.hard), log)
    os.setsid()  # as its successors: what is sent to the keeper's group is not for us
    Kernel().prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    journal = Journal.new(channel, log.warning)
    journal.keep({LISTENER: listener.fileno()})
    loop, exits = Loop(rests=True), KeptExits()
    exits.start(loop)
    tasks = assemble(loop, exits, listener, orders, log, journal)
    loop.spawn(keep(tasks, orders.first))
    _run(tasks, exits, channel, log)


def adopt(log: Log) -> NoReturn:
    """Be the successor of a daemon that has died; the keeper is at descriptor 0."""
    until_the_end(lambda: _take_over(_detach(), log), log)


def until_the_end(work: Callable[[], None], log: Log) -> NoReturn:
    """Do the work of a daemon, and end with it."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:  # noqa: BLE001 - it is reported, and ends the process
        text = f"shim: {type(error).__name__}: {error}"
        log.error(text)
    finally:
        os._exit(status)


def _program() -> str:
    """How we were called: whatever lies there when a successor is needed, an update perhaps."""
    fd = os.open("/proc/self/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fsdecode(os.read(fd, LONGEST_COMMAND).partition(b"\0")[0])
    finally:
        os.close(fd)


def _detach() -> socket:
    os.setsid()
    kernel = Kernel()
    channel = kernel.dup_above(0, 3)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.chdir("/")
    kernel.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    kernel.prctl(PR_SET_NAME, PROCESS_NAME)
    gc.freeze()
    gc.enable()
    return socket(fileno=channel)


def _take_over(channel: socket, log: Log) -> None:
    kept, ended, (data, limit.soft, limit.hard) = inherit(channel)
    orders = Orders(data)
    log.debugging = orders.debug
    records = kept.pop(RECORDS, -1)
    journal = Journal(channel, records, log.warning)
    if LISTENER not in kept:  # it was about to end
        journal.end()
        return
    loop, exits = Loop(rests=True), KeptExits()
    exits.start(loop)
    listener = socket(fileno=kept.pop(LISTENER))
    tasks = assemble(loop, exits, listener, orders, log, journal)
    Succession(tasks, exits, journal, read(records)).take_over(kept, ended)
    text = f"shim: this daemon goes on with {len(tasks.tasks)} containers of one that died"
    log.warning(text)
    _run(tasks, exits, channel, log)


def _run(tasks: Tasks, exits: KeptExits, channel: socket, log: Log) -> None:
    tasks.shared = True
    loop = tasks.loop

    def arrived(_ready: int) -> None:
        try:
            message = channel.recv(LONGEST, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            loop.forget(channel.fileno())
            log.warning(LOST)
            keeper_lost(tasks)
            return
        _, ended = marshal.loads(message)  # noqa: S302 - the keeper is our parent
        for exit_ in ended:
            exits.tell(*exit_)
        tasks.journal.told([pid for pid, _, _ in ended])

    loop.watch(channel.fileno(), EPOLLIN, arrived)
    loop.run()
    tasks.journal.end()

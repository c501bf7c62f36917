"""The resident process of a pod: from the fork in `start` until containerd's Shutdown."""

from __future__ import annotations

import gc
from _socket import socket

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.sockets import receive
from ociruntime.process.descriptors import close_others
from ociruntime.resident.exits import Exits
from ociruntime.resident.loop import Loop
from ociruntime.shim.assembly import Orders, assemble
from ociruntime.shim.journal import NoJournal
from ociruntime.shim.node import PR_SET_NAME, PROCESS_NAME, serve, until_the_end
from ociruntime.shim.shared import LOG_FIFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ociruntime.log import Log

# proc_pid_oom_score_adj(5): the score, and the highest there is.
OOM_SCORE = "/proc/self/oom_score_adj"
MAX_OOM_SCORE = 1000
# Seven strings, the longest of them paths.
LONGEST_ORDERS = 7 * 4096


def begin(starter: socket, log: Log) -> NoReturn:
    """Be the daemon, once ``starter`` has sent the socket to listen on; never returns."""
    until_the_end(lambda: _serve(starter, log), log)


def _serve(starter: socket, log: Log) -> None:
    _detach(starter)
    # What is loaded now stays, and is shared with every worker.
    gc.freeze()
    gc.enable()
    data, fds = receive(starter, LONGEST_ORDERS)
    starter.close()
    if not data:
        return  # there is a daemon for this group, or `start` has failed and said why
    orders = Orders(data)
    log.debugging = orders.debug
    _go_before_containerd()
    listener = socket(fileno=fds[0])
    if orders.first:
        serve(listener, data, log)
        return
    loop, exits = Loop(rests=True), Exits()
    exits.start(loop)
    assemble(loop, exits, listener, orders, log, NoJournal())
    loop.run()


def _go_before_containerd() -> None:
    """Where the machine's memory runs out, a pod's daemon ends before containerd does: its score is
    one more, as with runc's shim, and what the containers have that ask for none.
    """
    fd = os.open(OOM_SCORE, os.O_RDWR | os.O_CLOEXEC)
    try:
        score = int(os.read(fd, 16))
        if score < MAX_OOM_SCORE:
            os.write(fd, f"{score + 1}".encode())
    finally:
        os.close(fd)


def _detach(starter: socket) -> None:
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
    close_others(kernel, (0, 1, 2, starter.fileno()))
    kernel.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    # Workers enter containers as copies of this process.
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    kernel.prctl(PR_SET_NAME, PROCESS_NAME)

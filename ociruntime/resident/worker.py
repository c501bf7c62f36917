"""A forked child of a resident: every module is loaded in it already. It may end up in a
container's namespaces, fail half-way or wait for a hook, and the resident goes on.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair

from ociruntime import hostos as os
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import SET_SIZE, SIG_SETMASK
from ociruntime.process.descriptors import close_others

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def fork_worker(work: Callable[[int], None]) -> tuple[int, socket]:
    """Run ``work`` in a child, which gets the number of its end of a SOCK_SEQPACKET pair, and ends
    with status 1 where that raises, else 0: nothing of ours is finalized in it.

    Returns its pid and our end. Raises ``OSError``.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        status = 1
        try:
            # SIGCHLD is blocked where ``exits`` reads it.
            Kernel().invoke("rt_sigprocmask", SIG_SETMASK, bytearray(SET_SIZE), None, SET_SIZE)
            work(theirs.detach())
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    return pid, ours


def arrange(inherited: Sequence[int], kept: Sequence[int]) -> list[int]:
    """Give ``inherited`` the numbers from 0 on, open for what is executed, and ``kept`` the next
    ones, close-on-exec; whatever else is open is closed, as nothing of the resident's may reach a
    container.

    Returns the new numbers of ``kept``.
    """
    kernel = Kernel()
    fds = (*inherited, *kept)
    count = len(fds)
    # Now, too: there may be no number left for what follows.
    close_others(kernel, fds)
    # All are moved out of the way first: any of them may have any number.
    moved = [kernel.dup_above(fd, count) for fd in fds]
    for number, fd in enumerate(moved):
        os.dup2(fd, number, inheritable=number < len(inherited))
    kernel.close_from(count)
    return list(range(len(inherited), count))

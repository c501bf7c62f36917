"""What ends the wait for a hook beside its own end and its ``timeout``.

A hook without a timeout may take as long as it needs. But nobody waits for one that nobody needs
any more, because its container has been killed or is to be deleted by force; nor for one in the
container that is kept from running there: whatever shares its processes can stop or trace it.

Nothing here costs anything while a hook takes less than ``LOOK_SECONDS``.
"""

from __future__ import annotations

import time

from ociruntime.process.patience import Patience, let_go, why_held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# How long a hook of the host, which may have to put its own things in order, has to end in.
GRACE_SECONDS = 5.0
CONTAINER_ENDED = "the container's first process has ended"


class HookGuard:
    """Looks after a hook that somebody waits for.

    Parameters: ``over`` tells why nobody needs it any more, "" while somebody does; ``inside`` says
    that it is a process of the container, which others in there can hold up.
    """

    __slots__ = ("_inside", "_over", "_patience", "_since")

    def __init__(self, over: Callable[[], str], *, inside: bool = False) -> None:
        self._over = over
        self._inside = inside
        self._since = 0.0
        self._patience: Patience | None = None

    def look(self, pid: int) -> str:
        """Why the hook, process ``pid``, has to end now; "" to wait on. Raises ``HeldError``."""
        over = self._over()
        if over and self._inside:
            return over
        if over:
            now = time.monotonic()
            self._since = self._since or now
            return over if now - self._since >= GRACE_SECONDS else ""
        if self._inside:
            if self._patience is None:
                self._patience = Patience(pid, "the hook")
            self._patience.look()
        return ""

    def let_die(self, pid: int) -> None:
        """Behind SIGKILL that it did not obey: a frozen cgroup of v1 keeps it."""
        if self._inside and why_held(pid).startswith("frozen"):
            let_go(pid)


class HookWatch(HookGuard):
    """Looks after the process that waits for a hook in the container, and its children."""

    __slots__ = ("_watched",)

    def __init__(self, patience: Patience) -> None:
        super().__init__(lambda: "", inside=True)
        self._watched = patience

    def look(self, pid: int) -> str:
        """As ``HookGuard``'s; whoever waits for it has ended when its channel says so."""
        self._watched.look()
        return ""

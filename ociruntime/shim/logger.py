"""`binary://PATH?NAME=VALUE&...`: a process that gets a container's output (containerd's runtime
documentation, "Logging").

It is started with NAME VALUE ... as arguments, descriptor 3 as the container's stdout, 4 as its
stderr, and 5, which it closes (or writes a byte to) when it is ready.
"""

from __future__ import annotations

from fcntl import F_DUPFD_CLOEXEC, fcntl
from select import EPOLLIN

from ociruntime import hostos as os
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import SPAWN_DEFAULTS
from ociruntime.resident.loop import first
from ociruntime.shim import ttrpc
from ociruntime.shim.openfiles import limit
from ociruntime.shim.ttrpc import RpcError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.resident.loop import Loop

SIGKILL, SIGTERM = 9, 15
READY_SECONDS = 10.0
# Between SIGTERM and SIGKILL, as containerd's own shims.
END_SECONDS = 12.0
# Above every number that the process gets.
LOWEST = 16


class Logger:
    """A logging process; nobody waits for it: it ends with the container's output."""

    __slots__ = ("_environment", "_ready", "_uri", "pidfd")

    def __init__(self, uri: str, environment: dict[str, str]) -> None:
        self._uri = uri
        self._environment = environment
        self.pidfd = -1
        self._ready = -1

    def start(self) -> list[int]:
        """Start it; the container's stdout and stderr. Raises ``RpcError``."""
        path, arguments = parse(self._uri)
        pairs = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        theirs = [pairs[0][0], pairs[1][0], pairs[2][1]]
        high = [int(fcntl(fd, F_DUPFD_CLOEXEC, LOWEST)) for fd in theirs]
        actions = [(os.POSIX_SPAWN_DUP2, fd, 3 + index) for index, fd in enumerate(high)]
        try:
            pid = os.posix_spawn(
                path,
                [path, *arguments],
                self._environment,
                file_actions=actions,
                setsigdef=SPAWN_DEFAULTS,
                setsigmask=[],
            )
        except OSError as error:
            for fd in (pairs[0][1], pairs[1][1], pairs[2][0]):
                os.close(fd)
            text = f"cannot start the logging process {path}: {error.strerror}"
            raise RpcError(ttrpc.UNKNOWN, text) from None
        finally:
            for fd in (*theirs, *high):
                os.close(fd)
        self.pidfd = os.pidfd_open(pid)
        limit.restore(pid)
        self._ready = pairs[2][0]
        return [pairs[0][1], pairs[1][1]]

    async def ready(self, loop: Loop) -> None:
        """Wait until it reads; raises ``RpcError`` after 10 s."""
        arrived = loop.ready(self._ready, EPOLLIN)
        done = await first(loop, arrived, READY_SECONDS)
        loop.forget(self._ready)
        os.close(self._ready)
        if not done:
            text = f"{self._uri}: it was not ready after {READY_SECONDS:g} s"
            raise RpcError(ttrpc.DEADLINE_EXCEEDED, f"{text}; it must close descriptor 5")

    async def end(self, loop: Loop) -> None:
        """Ask it to end, and after a while make it."""
        if self.pidfd < 0:
            return
        pidfd, self.pidfd = self.pidfd, -1
        kernel = Kernel()
        try:
            kernel.pidfd_send_signal(pidfd, SIGTERM)
            if not await first(loop, loop.ready(pidfd, EPOLLIN), END_SECONDS):
                kernel.pidfd_send_signal(pidfd, SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            loop.forget(pidfd)
            os.close(pidfd)


def parse(uri: str) -> tuple[str, list[str]]:
    """(program, arguments) of a `binary://` URI; raises ``RpcError``."""
    path, _, query = uri.removeprefix("binary://").partition("?")
    arguments: dict[str, str] = {}
    for pair in query.split("&") if query else []:
        name, separator, value = pair.partition("=")
        if name or separator:
            # Of several values of one name containerd's shims take the first.
            arguments.setdefault(_unquote(name), _unquote(value))
    path = _unquote(path, plus=False)
    if not path.startswith("/"):
        raise RpcError(ttrpc.INVALID_ARGUMENT, f"{uri}: the program must be an absolute path")
    return path, [word for pair in arguments.items() for word in pair]


def _unquote(text: str, *, plus: bool = True) -> str:
    """Percent escapes (RFC 3986), and in a query `+` for a blank."""
    if plus:
        text = text.replace("+", " ")
    head, *rest = text.split("%")
    out = head.encode()
    for part in rest:
        try:
            out += bytes.fromhex(part[:2]) + part[2:].encode()
        except ValueError:
            out += b"%" + part.encode()
    return out.decode("utf-8", "replace")

"""One daemon for all pods of a containerd namespace: who may share it, and how long it lives.

    start ----Reserve----> daemon   the container will come: do not end before it has
    delete ---Forget-----> daemon   containerd has given the container up: remove it

`start` finds the daemon by the name of its socket. A daemon ends with its last container, and
another pod's `start` may come in that very moment: what it was promised, it gets. So a `start` does
not only look whether somebody listens: it asks, and who has answered waits for that container.
"""

from __future__ import annotations

import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket
from fcntl import LOCK_EX, LOCK_NB, flock

from ociruntime import __version__
from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel._sys import commit
from ociruntime.resident.loop import Future, first
from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.counts import COUNTS, tell
from ociruntime.shim.options import NAMESPACE, check_daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ociruntime.protobuf import Message
    from ociruntime.resident.loop import Loop
    from ociruntime.shim.journal import NoJournal
    from ociruntime.shim.options import ShimOptions
    from ociruntime.shim.service import Tasks

    Method = Callable[[Tasks, dict[str, Any]], Awaitable[dict[str, Any]]]

SERVICE = "ociruntime.shim.v1.Daemon"
# What a pod may ask for, whatever the runtime's options say.
ANNOTATION = "io.containerd.ociruntime.v1.daemon"
LOG_FIFO = "log"
# How long `start` waits for the daemon's answer, and for others that start (seconds).
ANSWER_SECONDS = 10.0
LOCK_INTERVAL = 0.002
# How long a daemon waits for a container that was announced (seconds).
RESERVED_SECONDS = 60.0
# Keys in the journal.
RESERVED = "reserved/"


def is_shared(options: ShimOptions, annotations: dict[str, str]) -> bool:
    """Whether the container's daemon is the namespace's; raises ``RpcError``.

    With core scheduling on it never is: the containers of a daemon have one cookie, and so may run
    on one core's threads at the same time (Documentation/admin-guide/hw-vuln/core-scheduling.rst).
    """
    wanted = annotations.get(ANNOTATION)
    if wanted is not None:
        check_daemon(wanted, f"annotation {ANNOTATION}")
    return (wanted or options.daemon) == NAMESPACE and not os.getenv("SCHED_CORE")


def shared_key(ttrpc_address: str, options: ShimOptions) -> str:
    """What containers of one daemon have in common, beside namespace and address of containerd.

    Our version is: an update's first pod gets a daemon of the new one.
    """
    words = ("daemon", __version__, commit, ttrpc_address, options.shim_cgroup)
    return "/".join(words)


# in `start`, and in `delete`


class Lock:
    """One `start` at a time looks for the daemon of a socket directory, and makes it where there is
    none: ``with Lock(directory)``. Raises ``OciError``.
    """

    __slots__ = ("_directory", "_fd")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fd = -1

    def __enter__(self) -> None:
        os.makedirs(self._directory, 0o700)
        self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                flock(self._fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self._fd)
                    text = f"{self._directory}: another shim has it locked; end that, or try again"
                    raise OciError(text) from None
                time.sleep(LOCK_INTERVAL)
            else:
                return

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def ask(path: str, method: str, container_id: str) -> bool:
    """Whether the daemon that listens at ``path`` has done it; False when there is none, when it
    ends, and when it knows no such request. Raises ``OciError`` for one that does not answer.
    """
    return call(path, method, m.PROCESS_KEY.encode({"id": container_id})) is not None


def call(path: str, method: str, payload: bytes) -> bytes | None:
    """The answer of the daemon that listens at ``path``; None and ``OciError`` as with ``ask``."""
    request = {"service": SERVICE, "method": method, "payload": payload}
    frames = ttrpc.Frames()
    end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        _connect(end, path)
        end.send(ttrpc.frame(1, ttrpc.IS_REQUEST, m.REQUEST.encode(request)))
        while data := end.recv(ttrpc.PIECE):
            for _, _, answer in frames.feed(data):
                response = m.RESPONSE.decode(answer or b"")
                return None if response["status"] else bytes(response["payload"])
    except (ConnectionError, FileNotFoundError):
        pass
    except TimeoutError:
        who = f"the daemon of {path}"
        raise OciError(f"{who} does not answer within {ANSWER_SECONDS:g} s") from None
    finally:
        end.close()
    return None


def _connect(end: socket, path: str) -> None:
    end.settimeout(ANSWER_SECONDS)
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            end.connect(path)
        except BlockingIOError:  # too many do at the same time (unix(7): EAGAIN)
            if time.monotonic() > deadline:
                raise TimeoutError from None
            time.sleep(LOCK_INTERVAL)
        else:
            return


# in the daemon


class Reservations:
    """Containers that were announced and are not there yet."""

    __slots__ = ("_ids", "_journal", "_loop")

    def __init__(self, loop: Loop, journal: NoJournal) -> None:
        self._loop = loop
        self._journal = journal
        self._ids: dict[str, Future] = {}

    def __len__(self) -> int:
        return len(self._ids)

    async def keep(self, container_id: str) -> None:
        """Wait for the container, not for ever."""
        this = self._ids[container_id] = Future()
        self._journal.put(f"{RESERVED}{container_id}", 1)
        # A timer that is no longer needed would wake an idle daemon a minute later, once for each
        # container, and keep it from giving back memory until then.
        await first(self._loop, this, RESERVED_SECONDS)
        if self._ids.get(container_id) is this:
            self.drop(container_id)

    def drop(self, container_id: str) -> None:
        """It is there, or will not come."""
        waiting = self._ids.pop(container_id, None)
        if waiting is not None:
            self._journal.put(f"{RESERVED}{container_id}", None)
            waiting.set()


def follow_log(tasks: Tasks) -> None:
    """A daemon of many pods writes its messages to the log of the container that came last:
    containerd reads that of each container until it is deleted (`log` in its bundle, a fifo).
    """
    bundle = next((tasks.tasks[name].bundle for name in reversed(tasks.tasks)), "")
    if not tasks.shared or not bundle:
        return
    try:
        fd = os.open(f"{bundle}/{LOG_FIFO}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # nobody reads it
    os.dup2(fd, 2)
    os.close(fd)


async def reserve(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any]:
    """Reserve: the daemon stays for a container that `start` was called for."""
    if tasks.ending:
        raise ttrpc.RpcError(ttrpc.UNAVAILABLE, "this daemon ends")
    tasks.loop.spawn(keep(tasks, request["id"]))
    return {}


async def keep(tasks: Tasks, container_id: str) -> None:
    """Reserve, and end when it was in vain."""
    await tasks.reservations.keep(container_id)
    tasks.end_if_idle()


async def forget(tasks: Tasks, request: dict[str, Any]) -> dict[str, Any]:
    """Forget: containerd has lost the container's connection, or its patience, and `delete` is at
    work: kill it, and be ready for its id. The daemon's others go on.
    """
    container_id = request["id"]
    tasks.reservations.drop(container_id)
    task = tasks.tasks.get(container_id)
    if task is not None:
        tasks.lifetimes.unwatch(task)
        await tasks.withdrawals.delete(task)
        for process in (task, *task.executions.values()):
            process.ended.set()  # whoever waits for it
            if process.streams is not None:
                process.streams.close()
                process.streams = None
        follow_log(tasks)
    tasks.end_if_idle()
    return {}


METHODS: dict[str, tuple[Message, Message, Method]] = {
    "Reserve": (m.PROCESS_KEY, m.EMPTY, reserve),
    "Forget": (m.PROCESS_KEY, m.EMPTY, forget),
    "Counts": (m.EMPTY, COUNTS, tell),
}

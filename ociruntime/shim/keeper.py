"""The keeper of a daemon of many pods: it has whatever would end with the daemon, and starts a
successor when that one dies.

    keeper                          holds descriptors by name, reaps what the daemon leaves
     |- daemon   (killed)           its containers become the keeper's children
     |- daemon   (its successor)    gets all descriptors, the records, and who has ended since

Connections of containerd, containers' pipes and containerd's fifos do not close with a daemon,
because the keeper has copies of them. It reads none of them, and knows no container: there is
nothing that could go wrong with it but its own death, after which a daemon goes on without one.
"""

from __future__ import annotations

import marshal
import time
from _socket import (
    AF_UNIX,
    MSG_DONTWAIT,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)
from select import EPOLL_CLOEXEC, EPOLLIN, EPOLLOUT, epoll

from ociruntime import hostos as os
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.kernel import FOR_EVER, Kernel
from ociruntime.kernel.rest import rest
from ociruntime.kernel.signals import SPAWN_DEFAULTS, Children
from ociruntime.kernel.sockets import DescriptorsLost, receive, rights
from ociruntime.resident.loop import REST_SECONDS
from ociruntime.shim.journal import AT_ONCE, END, FORMAT, KEEP, READY, RELEASE, TOLD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ociruntime.log import Log

PROCESS_NAME = b"ociruntime-keep"
PR_SET_NAME = 15
LONGEST = 1 << 17
EXITS, GO = "exits", "go"
# Successors that cannot be started, or die before they have taken over what there is; then
# containerd shall clean up. The pauses between them (seconds) double: memory may be short.
TRIES = 12
PAUSE, LONGEST_PAUSE = 0.1, 5.0
# How long a successor may take to take one message (seconds).
PATIENCE = 30.0


class Keeper:
    """Of the daemon ``pid`` behind ``channel``; ``command`` starts a successor, which is given
    ``last``.
    """

    def __init__(
        self, command: list[str], last: object, pid: int, channel: socket, log: Log
    ) -> None:
        self._command = command
        self._last = last
        self._pid = pid
        self._channel = channel
        self._log = log
        self._kept: dict[str, int] = {}
        self._exits: list[tuple[int, int, int]] = []
        self._unsent: list[tuple[int, int, int]] = []
        self._tries = 0
        self._alive = True
        self._over = False

    def run(self) -> None:
        """Serve until the daemon has said that it ends, or nobody can take its place."""
        children = Children(Kernel())
        self._reap()  # who has died before that
        while not self._over:
            poller = epoll(-1, EPOLL_CLOEXEC)
            poller.register(children.fd, EPOLLIN)
            channel = self._channel.fileno()
            poller.register(channel, EPOLLIN)
            while self._alive:
                if channel != children.fd:
                    poller.modify(channel, EPOLLIN | EPOLLOUT if self._unsent else EPOLLIN)
                for fd, ready in self._wait(poller):
                    if fd == children.fd:
                        children.clear()
                        self._reap()
                    elif ready != EPOLLOUT and not self._receive() and channel == fd:
                        poller.unregister(fd)  # its end is near
                        channel = children.fd
                self._tell()
            poller.close()
            while self._receive():
                pass  # what it has said before
            self._channel.close()
            if not self._over:
                self._replace()

    @staticmethod
    def _wait(poller: epoll) -> list[tuple[int, int]]:
        """What is ready; when nothing is for a while, our memory is others'."""
        found = poller.poll(REST_SECONDS)
        if not found:
            rest(poller.fileno(), FOR_EVER)
            found = poller.poll(0)
        return found

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._pid:
                self._alive = False
                continue
            code = os.waitstatus_to_exitcode(status)
            self._exits.append((pid, code if code >= 0 else 128 - code, time.time_ns()))
            self._unsent.append(self._exits[-1])

    def _tell(self) -> None:
        """Who has ended, unless the daemon is too busy to read: nobody waits for each other."""
        while self._unsent:
            try:
                message = marshal.dumps((EXITS, self._unsent[:AT_ONCE]), FORMAT)
                self._channel.sendmsg([message], [], MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # it has died: its successor is told all
                self._unsent.clear()
            del self._unsent[:AT_ONCE]

    def _receive(self) -> bool:
        """Take one message of the daemon's; whether there was one."""
        try:
            data, fds = receive(self._channel, LONGEST, AT_ONCE, MSG_DONTWAIT)
        except ConnectionResetError:
            return True  # it has died with something unread: what it has sent comes after this
        except DescriptorsLost as error:
            text = f"shim: what the daemon has opened will end with it: {error.strerror}"
            self._log.error(text)
            return True
        except OSError:
            return False
        if not data:
            return False
        word, argument = marshal.loads(data)  # noqa: S302 - a child of ours has sent it
        self._obey(word, argument, fds)
        return True

    def _obey(self, word: str, argument: Any, fds: list[int]) -> None:
        if word == KEEP:
            for name, fd in zip(argument, fds, strict=True):
                self._close(self._kept.pop(name, -1))
                self._kept[name] = fd
        elif word == RELEASE:
            for name in [name for name in self._kept if name.startswith(argument)]:
                self._close(self._kept.pop(name))
        elif word == TOLD:
            self._exits = [entry for entry in self._exits if entry[0] not in argument]
        elif word == READY:
            self._tries = 0
        elif word == END:
            self._over = True

    @staticmethod
    def _close(fd: int) -> None:
        if fd >= 0:
            os.close(fd)

    def _replace(self) -> None:
        """Start a successor, and give it everything."""
        if self._tries == TRIES:
            self._log.error("shim: no successor of the daemon stays alive; its containers are lost")
            self._over = True
            return
        if self._tries:
            pause = min(PAUSE * 2 ** (self._tries - 1), LONGEST_PAUSE)
            text = f"shim: the daemon has no successor yet; try {self._tries} of {TRIES} has failed"
            self._log.warning(f"{text}, the next one in {pause:g} s")
            time.sleep(pause)
        self._tries += 1
        self._channel, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        try:
            self._pid = os.posix_spawn(
                self._command[0],
                self._command,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                setsigmask=[],
                setsigdef=SPAWN_DEFAULTS,
            )
        except OSError as error:
            self._log.error(f"shim: {self._command[0]}: {error.strerror}; its successor is missing")
            return
        finally:
            theirs.close()
        self._alive = True
        self._unsent = []
        self._channel.settimeout(PATIENCE)
        try:
            self._bequeath()
            self._channel.settimeout(None)  # or MSG_DONTWAIT waits as long
        except OSError:  # it has died, or does not read
            os.kill(self._pid, SIGKILL)  # our child, not reaped yet

    def _bequeath(self) -> None:
        names = list(self._kept)
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            self._send((KEEP, some), [self._kept[name] for name in some])
        for start in range(0, len(self._exits), AT_ONCE):
            self._send((EXITS, self._exits[start : start + AT_ONCE]))
        self._send((GO, self._last))

    def _send(self, message: Any, fds: Sequence[int] = ()) -> None:
        self._channel.sendmsg([marshal.dumps(message, FORMAT)], rights(fds))


def part(command: list[str], last: object, log: Log) -> socket:
    """Fork: the parent becomes the keeper and never returns, the child its daemon, which has the
    keeper at the other end of this channel.

    Parameters: ``command`` and ``last`` as ``Keeper`` has them.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
    pid = os.fork()
    if pid == 0:
        ours.close()
        return theirs
    theirs.close()
    try:
        keeper, channel = Keeper(command, last, pid, ours, log), ours.fileno()
        kernel = Kernel()
        kernel.prctl(PR_SET_NAME, PROCESS_NAME)
        if channel > 3:
            kernel.close_from(3, channel - 1)
        kernel.close_from(channel + 1)
        keeper.run()
    finally:
        os._exit(0)


def inherit(channel: socket) -> tuple[dict[str, int], list[tuple[int, int, int]], Any]:
    """In a successor: descriptors by name, (pid, status, time) of who has ended, and what the
    keeper was given for it. Raises ``EOFError`` when the keeper is gone.
    """
    kept: dict[str, int] = {}
    exits: list[tuple[int, int, int]] = []
    while True:
        data, fds = receive(channel, LONGEST, AT_ONCE)
        if not data:
            raise EOFError("the keeper has gone")
        word, argument = marshal.loads(data)  # noqa: S302 - the keeper is our parent
        if word == GO:
            return kept, exits, argument
        if word == EXITS:
            exits += argument
        else:
            kept.update(zip(argument, fds, strict=True))

"""What a runtime's containers need of it: its state directory, and requests to its zygote."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ociruntime.errors import OciError, UsageError
from ociruntime.library.answer import Answer
from ociruntime.library.conversation import Conversation
from ociruntime.library.process import Process
from ociruntime.process.foreground import receive_master
from ociruntime.state.store import default_root
from ociruntime.zygote.client import Exit, Reply

if TYPE_CHECKING:
    from ociruntime.library.bundle import PathLike
    from ociruntime.library.streams import Streams

MANAGERS = ("cgroupfs", "systemd", "disabled")
# Seconds that an interrupted program waits for what it has just asked for, to take it back.
PATIENCE = 5.0


class Connection:
    """A state directory and the zygote that works on it, started by the first request."""

    def __init__(
        self, root: PathLike | None, launcher: PathLike | None, cgroup_manager: str
    ) -> None:
        if cgroup_manager not in MANAGERS:
            raise UsageError(f"cgroup_manager {cgroup_manager}: use {', '.join(MANAGERS)}")
        self.root = os.path.abspath(root if root is not None else default_root())
        self.cgroup_manager = cgroup_manager
        self.launcher = None if launcher is None else os.path.abspath(launcher)
        self._starting = threading.Lock()
        self._conversation: Conversation | None = None

    @property
    def zygote_pid(self) -> int:
        """The process that does the work; 0 when none was needed yet."""
        return self._conversation.zygote_pid if self._conversation else 0

    def close(self) -> None:
        """End the zygote; a second call does nothing."""
        if self._conversation is not None:
            self._conversation.close()

    def call(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        fds: Mapping[str, int] | None = None,
    ) -> Reply:
        """Have the zygote do something (``ociruntime.zygote``); raises the ``OciError``."""
        reply = Answer[Reply]()
        self._started().submit(operation, self._known(parameters), fds or {}, reply)
        return reply.result()

    def make(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        streams: Streams,
        preserve_fds: Sequence[int],
        *,
        terminal: bool,
    ) -> Process:
        """``call`` for operations that make a process. When the wait for it is interrupted (Ctrl-C)
        the process, or its container, is taken back.
        """
        fds = dict(streams.fds)
        fds.update({f"preserve{index}": fd for index, fd in enumerate(preserve_fds)})
        console = Console() if terminal else None
        if console is not None:
            fds["console"] = console.theirs
        answer, end = Answer[Reply](), Answer[Exit]()
        try:
            self._started().submit(operation, self._known(parameters), fds, answer, end)
            reply = answer.result()
            if not reply.fds:
                raise OciError(
                    f"{operation}: the process's pidfd was lost, because this program has too many "
                    "open files; close some, or raise the limit"
                )
            streams.close_theirs()
            master = console.receive() if console is not None else -1
            return Process(reply, end, streams, master)
        except BaseException:
            streams.close()
            if console is not None:
                console.close()
            if answer.expected:
                self._take_back(operation, parameters, answer)
            raise

    def _take_back(
        self, operation: str, parameters: Mapping[str, Any], answer: Answer[Reply]
    ) -> None:
        """Undo a request whose result nobody wants any more; what failed has left nothing."""
        try:
            if answer.error(PATIENCE) is not None:
                return
            reply = answer.result()
            if operation != "exec":
                self.call("delete", {"id": parameters["id"], "force": True})
            elif reply.fds:
                signal.pidfd_send_signal(reply.fds[0], signal.SIGKILL)
            reply.close()
        except (OciError, ProcessLookupError, TimeoutError):
            return

    def _known(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {"root": self.root, "cgroup_manager": self.cgroup_manager, **parameters}

    def _started(self) -> Conversation:
        with self._starting:
            if self._conversation is None:
                self._conversation = Conversation(self.launcher)
            return self._conversation


class Console:
    """The socket pair over which the master of a terminal comes."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.ours = ours.detach()
        self.theirs = theirs.detach()

    def receive(self) -> int:
        """The master; -1 when none came."""
        self._close_theirs()
        ours, self.ours = self.ours, -1
        return receive_master(ours)

    def close(self) -> None:
        """Close what is open."""
        self._close_theirs()
        ours, self.ours = self.ours, -1
        if ours >= 0:
            os.close(ours)

    def _close_theirs(self) -> None:
        """Nothing is called between taking and closing: an interrupt cannot make it twice."""
        theirs, self.theirs = self.theirs, -1
        if theirs >= 0:
            os.close(theirs)

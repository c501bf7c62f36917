"""What a runtime's containers need of it: its state directory, and requests to its zygote."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ociruntime.errors import OciError, UsageError
from ociruntime.kernel.pids import PARENT, stat_fields
from ociruntime.library.answer import PendingAnswer
from ociruntime.library.conversation import ZygoteConversation
from ociruntime.library.process import Process
from ociruntime.process.foreground import receive_master
from ociruntime.state.store import Store, default_root
from ociruntime.zygote.client import Exit, Reply

if TYPE_CHECKING:
    from ociruntime.library.options import PathLike
    from ociruntime.library.streams import ProcessStreams

MANAGERS = ("cgroupfs", "systemd", "disabled")
# Seconds that an interrupted program waits for what it has just asked for, to take it back.
PATIENCE = 5.0


class ZygoteConnection:
    """A state directory and the zygote that works on it, started by the first request."""

    def __init__(
        self, root: PathLike | None, launcher: PathLike | None, cgroup_manager: str
    ) -> None:
        for name, path in (("root", root), ("launcher", launcher)):
            if path is not None and not isinstance(path, (str, os.PathLike)):
                raise TypeError(f"{name}: give a path, not {path!r}")
        if cgroup_manager not in MANAGERS:
            raise UsageError(f"cgroup_manager {cgroup_manager}: use {', '.join(MANAGERS)}")
        self.root = os.path.abspath(root if root is not None else default_root())
        self.cgroup_manager = cgroup_manager
        self.launcher = None if launcher is None else os.path.abspath(launcher)
        self._starting = threading.Lock()
        self._conversation: ZygoteConversation | None = None

    def another(self) -> ZygoteConnection:
        """One more connection to the same containers, with a zygote of its own."""
        return ZygoteConnection(self.root, self.launcher, self.cgroup_manager)

    @property
    def zygote_pid(self) -> int:
        """The process that does the work; 0 when none was needed yet."""
        return self._conversation.zygote_pid if self._conversation else 0

    def close(self) -> None:
        """End the zygote; a second call does nothing."""
        if self._conversation is not None:
            self._conversation.close()

    def ask(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        fds: Mapping[str, int] | None = None,
    ) -> PendingAnswer[Reply]:
        """Have the zygote do something (``ociruntime.zygote``); the answer is told later."""
        reply = PendingAnswer[Reply]()
        self.started().submit(operation, self.known(parameters), fds or {}, reply)
        return reply

    def call(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        fds: Mapping[str, int] | None = None,
    ) -> Reply:
        """``ask``, and wait for the answer; raises the ``OciError``."""
        return self.ask(operation, parameters, fds).result()

    def known(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request with those that all have."""
        return {"root": self.root, "cgroup_manager": self.cgroup_manager, **parameters}

    def started(self) -> ZygoteConversation:
        """The conversation with the zygote, which is started if need be."""
        with self._starting:
            if self._conversation is None:
                self._conversation = ZygoteConversation(self.launcher)
            return self._conversation


class MakingProcess:
    """A request that makes a process, until somebody has it. It is waited for in one thread or in
    one task: ``send``, wait for ``answer``, then ``finish``; ``abandon`` when any of them fails or
    is interrupted.
    """

    def __init__(
        self,
        connection: ZygoteConnection,
        operation: str,
        parameters: Mapping[str, Any],
        streams: ProcessStreams,
        preserve_fds: Sequence[int],
        *,
        terminal: bool,
    ) -> None:
        self.connection = connection
        self.operation = operation
        self.parameters = parameters
        self.answer = PendingAnswer[Reply]()
        self._end = PendingAnswer[Exit]()
        self._streams = streams
        self._preserve_fds = preserve_fds
        self._terminal = terminal
        self._console: Console | None = None

    def send(self) -> None:
        """Send the request."""
        fds = dict(self._streams.fds)
        fds.update({f"preserve{index}": fd for index, fd in enumerate(self._preserve_fds)})
        if self._terminal:
            self._console = Console()
            fds["console"] = self._console.theirs
        parameters = self.connection.known(self.parameters)
        self.connection.started().submit(
            self.operation, parameters, fds, self.answer, self._end
        )

    def finish(self) -> Process:
        """The process, when the answer is there or after it has come; raises the ``OciError``."""
        reply = self.answer.result()
        if not reply.fds:
            raise OciError(
                f"{self.operation}: the process's pidfd was lost, because this program has too "
                "many open files; close some, or raise the limit"
            )
        self._streams.close_theirs()
        master = self._console.receive() if self._console is not None else -1
        name = f"a process of container {self.parameters['id']}"
        if self.operation != "exec":
            name = f"container {self.parameters['id']}"
        return Process(reply, self._end, self._streams, master, name)

    def abandon(self) -> None:
        """Close what is open, and take back what the request has made, or will have."""
        self._streams.close()
        if self._console is not None:
            self._console.close()
        if self.answer.expected:
            self._take_back()

    def _take_back(self) -> None:
        """Undo a request whose result nobody wants any more; what failed has left nothing."""
        try:
            if self.answer.error(PATIENCE) is not None:
                return
            reply = self.answer.result()
            if self.operation != "exec":
                self._delete()
            elif reply.fds:
                signal.pidfd_send_signal(reply.fds[0], signal.SIGKILL)
            reply.close()
        except TimeoutError:
            if self._is_at_work():  # a hook takes long: it ends with its container
                with contextlib.suppress(OciError):
                    self._delete()
        except (OciError, ProcessLookupError):
            return

    def _delete(self) -> None:
        self.connection.call("delete", {"id": self.parameters["id"], "force": True})

    def _is_at_work(self) -> bool:
        """Whether the container of this id is being created, or started, by a child of our zygote:
        what had the id before is not ours to take back.
        """
        if self.operation == "exec":
            return False
        try:
            container = Store(self.connection.root).open(self.parameters["id"])
        except OciError:
            return False
        maker = container.data.get("maker", {}).get("pid", 0)
        container.close()
        fields = stat_fields(maker)
        return bool(fields) and int(fields[PARENT]) == self.connection.zygote_pid


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

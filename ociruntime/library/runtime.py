"""The runtime: where containers are kept, and the zygote that makes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from ociruntime.cli.main import default_root
from ociruntime.errors import UsageError
from ociruntime.library.container import Console, Container
from ociruntime.library.conversation import Conversation
from ociruntime.library.process import Process
from ociruntime.library.streams import Stream, Streams
from ociruntime.state.store import Store

if TYPE_CHECKING:
    from ociruntime.library.bundle import PathLike
    from ociruntime.zygote.client import Reply

MANAGERS = ("cgroupfs", "disabled")


class Runtime:
    """All containers below one state directory; a context manager, to be shared by all threads.

    Its zygote is started by the first thing that needs one, and ends when the runtime is closed.
    Containers stay then, but nobody is told any more how they end.
    """

    def __init__(
        self,
        root: PathLike | None = None,
        *,
        launcher: PathLike | None = None,
        cgroup_manager: str = "cgroupfs",
    ) -> None:
        """Parameters: ``root`` is the state directory (default: that of the command line),
        ``launcher`` the ociruntime command (default: the one installed with this library),
        ``cgroup_manager`` cgroupfs or disabled.
        """
        if cgroup_manager not in MANAGERS:
            raise UsageError(f"cgroup_manager {cgroup_manager}: use {' or '.join(MANAGERS)}")
        self.root = os.path.abspath(root if root is not None else default_root())
        self.cgroup_manager = cgroup_manager
        self.launcher = None if launcher is None else os.path.abspath(launcher)
        self._starting = threading.Lock()
        self._conversation: Conversation | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Runtime {self.root}>"

    def create(self, bundle: PathLike, container_id: str, **how: Any) -> Container:
        """Create a container; see ``Container.create``."""
        return Container.create(self, bundle, container_id, **how)

    def run(self, bundle: PathLike, container_id: str, **how: Any) -> Container:
        """Create a container and start it; see ``Container.create``."""
        return Container.create(self, bundle, container_id, start=True, **how)

    def container(self, container_id: str) -> Container:
        """The container of this id, whoever created it. Raises ``NotFound``."""
        found = Container(self, container_id)
        found.state()
        return found

    def containers(self) -> list[Container]:
        """All containers, sorted by id."""
        return [Container(self, container_id) for container_id in Store(self.root).ids()]

    def command(
        self,
        arguments: Sequence[str],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> int:
        """Carry out a command line (``["ps", ID]``), and return its exit status.

        Streams as in ``create``, but not PIPE: the command has ended when this returns.
        """
        streams = Streams(stdin, stdout, stderr)
        parameters = {"arguments": ["--root", self.root, *arguments]}
        reply = self.call("command", parameters, streams.fds)
        status: int = reply.take()["status"]
        return status

    def close(self) -> None:
        """End the zygote; a second call does nothing."""
        with self._starting:
            if self._conversation is not None:
                self._conversation.close()

    def call(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        fds: Mapping[str, int] | None = None,
    ) -> Reply:
        """Have the zygote do something (``ociruntime.zygote``); raises the ``OciError``."""
        conversation = self._started()
        reply, _ = conversation.submit(operation, self._known(parameters), fds or {})
        return conversation.wait(reply)

    def make(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        streams: Streams,
        preserve_fds: Sequence[int],
        *,
        terminal: bool,
    ) -> Process:
        """``call`` for operations that make a process."""
        fds = dict(streams.fds)
        fds.update({f"preserve{index}": fd for index, fd in enumerate(preserve_fds)})
        console = Console() if terminal else None
        if console is not None:
            fds["console"] = console.theirs
        try:
            conversation = self._started()
            future, end = conversation.submit(operation, self._known(parameters), fds)
            reply = conversation.wait(future)
        except BaseException:
            streams.close()
            if console is not None:
                console.close()
            raise
        streams.close_theirs()
        master = console.receive() if console is not None else -1
        return Process(conversation, reply, end, streams, master)

    def _known(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {"root": self.root, "cgroup_manager": self.cgroup_manager, **parameters}

    def _started(self) -> Conversation:
        with self._starting:
            if self._conversation is None:
                self._conversation = Conversation(self.launcher)
            return self._conversation

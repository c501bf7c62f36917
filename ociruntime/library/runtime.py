"""The runtime: where containers are kept, and the zygote that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, Unpack

from ociruntime.library import arguments, commands
from ociruntime.library.bundle import Bundle
from ociruntime.library.connection import ZygoteConnection
from ociruntime.library.container import Container
from ociruntime.library.streams import ProcessStreams, Stream
from ociruntime.state.store import Store

if TYPE_CHECKING:
    from ociruntime.library.options import (
        ConfigOptions,
        CreateOptions,
        PathLike,
        RestoreOptions,
    )


class Runtime(ZygoteConnection):
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
        ``cgroup_manager`` cgroupfs, systemd or disabled.
        """
        super().__init__(root, launcher, cgroup_manager)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Runtime {self.root}>"

    def bundle(
        self, rootfs: PathLike, args: Sequence[str], **options: Unpack[ConfigOptions]
    ) -> Bundle:
        """``Bundle.temporary`` for this runtime: ``net`` is served by its command, and finds its
        containers.
        """
        return Bundle.for_runtime(self, rootfs, args, options)

    def create(
        self, bundle: PathLike, container_id: str | None = None, **options: Unpack[CreateOptions]
    ) -> Container:
        """Create a container; see ``Container.create``."""
        return Container.create(self, bundle, container_id, **options)

    def run(
        self, bundle: PathLike, container_id: str | None = None, **options: Unpack[CreateOptions]
    ) -> Container:
        """Create a container and start it; see ``Container.create``."""
        return Container.create(self, bundle, container_id, start=True, **options)

    def restore(
        self,
        bundle: PathLike,
        path: PathLike,
        container_id: str | None = None,
        **options: Unpack[RestoreOptions],
    ) -> Container:
        """Make a container of a bundle and the files that ``Container.checkpoint`` has written in
        ``path``; its processes go on.

        Parameters: ``container_id`` is a new one for None; ``options`` are those of
        ``RestoreOptions``. Its first process is CRIU's, not the zygote's: nobody is told how it
        ends. Raises ``OciError``; nothing is left then.
        """
        found = Container(self, arguments.container_id(container_id))
        found.bundle = bundle
        commands.restore(self, bundle, path, found.id, options).finish()
        return found

    def container(self, container_id: str) -> Container:
        """The container of this id, whoever created it. Raises ``NotFound``."""
        found = Container(self, arguments.container_id(container_id))
        found.state()
        return found

    def containers(self) -> list[Container]:
        """All containers, sorted by id."""
        return [Container(self, container_id) for container_id in Store(self.root).ids()]

    def command(
        self,
        command: Sequence[str],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> int:
        """Carry out a command line (``["ps", ID]``), and return its exit status.

        Streams as in ``create``, but not PIPE: the command has ended when this returns.
        """
        words = arguments.words("command", command)
        streams = ProcessStreams(stdin, stdout, stderr)
        try:
            parameters = {"arguments": ["--root", self.root, *words]}
            status: int = self.call("command", parameters, streams.fds).take()["status"]
        finally:
            streams.close()
        return status

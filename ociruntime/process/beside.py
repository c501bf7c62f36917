"""An oci-setup beside a container: for what is done in its namespaces, or in ours, by nobody who
stays there.
"""

from __future__ import annotations

from ociruntime.kernel.ocinit import open_program
from ociruntime.process.run import SETUP_FD, Run
from ociruntime.process.spawn import Namespaces, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ociruntime.kernel.inside import Inside
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.kernel.stubs import Stub
    from ociruntime.state.store import Container


class Beside:
    """A context in which it lives.

    Parameters: ``fds`` are what it has of ours, by the same numbers; ``joined`` as ``Namespaces``;
    ``made`` is told what is made in the root of a container; ``container``, which is locked, may
    become unwanted, and what is done for it is not waited for then.
    """

    __slots__ = ("_fds", "_joined", "_run")

    def __init__(
        self,
        kernel: Kernel,
        fds: Iterable[int],
        joined: Sequence[tuple[str, int, int]] = (),
        made: list[Stub] | None = None,
        container: Container | None = None,
    ) -> None:
        self._run = Run(kernel, [])
        self._run.container = container
        if made is not None:
            self._run.stubs = made
        self._fds = list(fds)
        self._joined = joined

    def __enter__(self) -> Inside:
        run = self._run
        run.fds[SETUP_FD] = open_program(run.kernel, "oci-setup")
        run.fds.update((f"of the caller: {fd}", fd) for fd in self._fds)
        wanted = Namespaces()
        wanted.joined = list(self._joined)
        try:
            spawn(run, wanted, -1, lambda _: None)
        except BaseException:
            self._end()
            raise
        return run.inner

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        from ociruntime.process.spawn import end_process

        run = self._run
        if run.channel is not None:
            run.channel.close()
        end_process(run)
        run.fds = {SETUP_FD: run.fds[SETUP_FD]}
        run.close()

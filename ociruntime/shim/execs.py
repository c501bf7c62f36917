"""exec in the daemon itself.

A worker is a copy of the daemon, and so is the process inside the container that becomes the
program: copying pages for both was most of what an exec took. Nothing that exec does on the host
side can hold the daemon up, or changes anything but the new process; while that one is at work in
the container, whose file systems may answer late or never, the loop goes on.
"""

from __future__ import annotations

import time
from select import EPOLLIN, POLLIN, poll

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.exec import AT_ONCE, exec_patiently
from ociruntime.plan.requests import ExecRequest
from ociruntime.process import patience
from ociruntime.resident.loop import first
from ociruntime.resident.turns import Turns
from ociruntime.shim import ttrpc
from ociruntime.shim.openfiles import limit
from ociruntime.shim.operations import parse_process
from ociruntime.shim.ttrpc import RpcError
from ociruntime.shim.worker import code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ociruntime.kernel.processes import Executable
    from ociruntime.log import Log
    from ociruntime.process.run import Run
    from ociruntime.resident.exits import Exits
    from ociruntime.resident.loop import Future, Loop
    from ociruntime.state.store import Container, Store

CLD_EXITED, CLD_KILLED = 1, 2


# Milliseconds that a process has to end in, once it should: a container may keep its own from it
# (a frozen or throttled cgroup, SIGSTOP, a tracer), and the daemon has others to serve.
PATIENCE = 2000
# Seconds that oci-exec may take on the host: a container without a pid namespace of its own can
# stop it once it has joined its user namespace.
ENTERING = 10.0


class SharedKernel(Kernel):
    """The kernel of somebody whose children are reaped by ``exits``, and who never waits long."""

    def __init__(self, exits: Exits) -> None:
        self._exits = exits
        self._pids: dict[int, int] = {}
        self._launched = 0

    def pidfd_open(self, pid: int) -> int:
        # The number of one that oci-exec made, and that was killed, may be another's by now.
        if self._exits.ended_since(pid, self._launched):
            raise ProcessLookupError
        pidfd = super().pidfd_open(pid)
        self._pids[pidfd] = pid
        return pidfd

    def clone(self, flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
        pid, pidfd = super().clone(flags, cgroup_fd)
        self._pids[pidfd] = pid
        return pid, pidfd

    def launch(self, program: Executable, milliseconds: int) -> int:
        self._launched = time.time_ns()
        pid, pidfd = self.start_program(program)
        self._exits.expect(pid, lambda _code, _time: None)
        return pidfd

    def wait_pidfd(self, pidfd: int) -> tuple[int, int]:
        poller = poll()
        poller.register(pidfd, POLLIN)
        if not poller.poll(PATIENCE):
            self.pidfd_send_signal(pidfd, SIGKILL)
            poller.poll(PATIENCE)
        try:
            ended = self.has_ended(pidfd)
            # The answer for one that has not: whenever it obeys.
            return super().wait_pidfd(pidfd) if ended else (CLD_KILLED, SIGKILL)
        except ChildProcessError:
            code = self._exits.early(self._pids[pidfd])
            return (CLD_KILLED, -code) if code < 0 else (CLD_EXITED, code)

    def reap(self, pidfd: int, seconds: float) -> bool:
        """That is the business of ``exits``."""
        return True


class Execs:
    """Runs processes in containers; ``log`` gets warnings."""

    def __init__(self, loop: Loop, exits: Exits, log: Log) -> None:
        self._loop = loop
        self._exits = exits
        self._log = log
        self._turns = Turns(loop)

    async def run(
        self,
        store: Store,
        container_id: str,
        spec: bytes,
        streams: Sequence[int],
        console: int,
        made: Callable[[int], None],
    ) -> bool:
        """Run the process ``spec`` (JSON) in the container, as ``Workers.run`` does; False when a
        worker must do it. Raises ``RpcError``.
        """
        null = -1 if streams else os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        options = ExecRequest(console_fd=console)
        options.streams = tuple(streams) or (null, null, null)
        self._exits.hold()
        try:
            await self._turns.turn(container_id)
            container = store.open(container_id)
            try:
                return await self._run(container, spec, options, made)
            finally:
                container.close()
        except OciError as error:
            raise RpcError(code_of(error), str(error)) from None
        except Exception as error:  # noqa: BLE001 - a fault of ours is an answer, too
            text = f"internal error: {type(error).__name__}: {error}"
            raise RpcError(ttrpc.INTERNAL, text) from None
        finally:
            self._exits.release()
            if null >= 0:
                os.close(null)

    async def _run(
        self, container: Container, spec: bytes, options: ExecRequest, made: Callable[[int], None]
    ) -> bool:
        process, warnings = parse_process(spec)
        if container.data.get("seccomp_listener") is not None:
            return False  # an agent may be slow to read
        process = limit.into(process)
        making = exec_patiently(container, process, options, SharedKernel(self._exits))
        try:
            while True:
                try:
                    fd, pid = next(making)
                except StopIteration as end:
                    run: Run = end.value
                    break
                if (fd, pid) == AT_ONCE:
                    await self._turns.turn(container.id, begun=True)
                else:
                    await self._wait(fd, pid)
        finally:
            making.close()  # its process ends if the request has
        for warning in warnings + run.warnings:
            self._log.warning(warning)
        run.close()
        made(run.pid)
        return True

    async def _wait(self, fd: int, pid: int) -> None:
        """Wait for ``fd``, while process ``pid`` can see to it that it becomes readable; without a
        pid it is a pidfd of oci-exec. Raises ``OciError``.
        """
        ready = self._loop.ready(fd, EPOLLIN)
        if not pid:
            await self._wait_for_maker(ready)
            return
        held = patience.Patience(pid, "the process in the container")
        try:
            while not await first(self._loop, ready, patience.LOOK_SECONDS):
                if not held.look() and not is_readable(fd):  # a busy loop may not have seen it
                    raise OciError("the process died before its program was executed")
        finally:
            if not ready.done and ready.abandon is not None:
                ready.abandon()

    async def _wait_for_maker(self, ended: Future) -> None:
        """Wait for oci-exec's end, which comes soon or never; raises ``OciError``."""
        try:
            if not await first(self._loop, ended, ENTERING):
                raise OciError(f"oci-exec has not entered the container within {ENTERING:g} s")
        finally:
            if not ended.done and ended.abandon is not None:
                ended.abandon()


def is_readable(fd: int) -> bool:
    """Whether it is, now."""
    poller = poll()
    poller.register(fd, POLLIN)
    return bool(poller.poll(0))

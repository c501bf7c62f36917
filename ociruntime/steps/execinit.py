"""The last step of init: it becomes oci-init, which waits for ``start`` with nothing of ours in
memory.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.block import init_argv, pack_block
from ociruntime.process.channel import Closed
from ociruntime.process.executor import death
from ociruntime.process.report import too_long
from ociruntime.process.run import BLOCK_FD, INIT_FD, PROC_FD, START_FD
from ociruntime.process.step import ContainerStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.identity import Identity
    from ociruntime.process.run import Run

FIRST = 3


class ExecInit(ContainerStep):
    """Execute oci-init from its sealed memfd with the identity it shall take on (process.user,
    capabilities, ...) when ``start`` has told it to.
    """

    __slots__ = ("args", "identity", "keep_fds")

    kind = "exec-init"
    stage = "exec"

    def __init__(self, args: list[str], identity: Identity, keep_fds: int) -> None:
        super().__init__("/process", "becoming oci-init")
        self.args = args
        self.identity = identity
        self.keep_fds = keep_fds

    def describe(self) -> str:
        who = f"uid {self.identity.uid}, gid {self.identity.gid}"
        return (
            f"become oci-init, wait for `start`, then take on {who} and the capabilities, and "
            f"execute {self.args[0]}"
        )

    def execute(self, run: Run) -> None:
        kernel, proc = run.inner, -1
        if self.identity.lsm:
            first = FIRST + self.keep_fds
            proc = kernel.ask_call("fcntl", run.mounts[PROC_FD], c.F_DUPFD, first).value
        kernel.carry_out()  # what follows depends on what is known then
        candidates = [os.fsencode(path) for path in run.candidates]
        members = self.identity.members()
        if run.groups_denied:
            members["groups"] = None
        content = pack_block(
            **members,
            channel_fd=run.fds[START_FD],
            cwd=os.fsencode(run.cwd),
            candidates=len(candidates),
            wait=True,
            keep_fds=self.keep_fds,
            proc_fd=proc,
            seccomp=run.seccomp[0] if run.seccomp else None,
            seccomp_flags=run.seccomp[1] if run.seccomp else 0,
            away=run.away,
        )
        block = run.fds[BLOCK_FD]
        run.kernel.write_all(block, content)
        run.kernel.seal(block)
        for fd in (run.fds[START_FD], block, proc):
            if fd >= 0:
                kernel.keep_on_exec(fd)
        # From here on the container outlives the command that created it.
        kernel.prctl(c.PR_SET_PDEATHSIG, 0)
        argv = init_argv(block, candidates, [os.fsencode(argument) for argument in self.args])
        environment = [os.fsencode(entry) for entry in run.environment]
        if run.home is not None:
            environment.append(run.home.text or b"HOME=/")

        def refused(number: int, _value: int, _text: bytes) -> OSError:
            too_large = number == errno.E2BIG
            words = too_long(self.args, run.environment) if too_large else os.strerror(number)
            return OSError(number, words)

        kernel.execute(run.fds[INIT_FD], argv, environment, refused)
        try:
            kernel.carry_out()
        except Closed:
            # It has become oci-init, unless it was killed before it could.
            if not kernel.left:
                raise
        run.setup = None
        # One that waits for `start` has not.
        if run.kernel.has_ended(run.pidfd):
            raise OciError(death(run, self))


class LetGo(Step):
    """Close our copy of what oci-init listens on: nobody waits for something whose other end he
    holds himself. When it ends, who is connected to it finds out; when it closes the channel of
    ``exec``, that means success.
    """

    __slots__ = ()

    kind = "let-go"
    stage = "attach"

    def __init__(self) -> None:
        super().__init__("", "oci-init's channel")

    def describe(self) -> str:
        return "leave oci-init's channel to it"

    def execute(self, run: Run) -> None:
        os.close(run.fds.pop(START_FD))

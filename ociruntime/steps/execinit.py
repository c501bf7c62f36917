"""The last step of init: it becomes oci-init, which waits for ``start`` with nothing of ours in
memory.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c
from ociruntime.kernel.block import init_argv, pack_block
from ociruntime.kernel.ocinit import sealed_memfd
from ociruntime.plan.step import ContainerStep, Step
from ociruntime.process.report import too_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.plan.identity import Identity
    from ociruntime.process.run import Run

FIRST = 3


class ExecInit(ContainerStep):
    """Execute oci-init from its sealed memfd with the identity it shall take on (process.user,
    capabilities, ...).

    ``wait`` says whether it waits for ``start`` (a container's first process) or goes on at once
    (``exec``).
    """

    __slots__ = ("args", "identity", "keep_fds", "wait")

    kind = "exec-init"
    stage = "exec"

    def __init__(self, args: list[str], identity: Identity, keep_fds: int, *, wait: bool) -> None:
        super().__init__("/process", "becoming oci-init")
        self.args = args
        self.identity = identity
        self.keep_fds = keep_fds
        self.wait = wait

    def describe(self) -> str:
        who = f"uid {self.identity.uid}, gid {self.identity.gid}"
        when = "wait for `start`, then " if self.wait else ""
        return (
            f"become oci-init, {when}take on {who} and the capabilities, and execute {self.args[0]}"
        )

    def execute(self, run: Run) -> None:
        kernel, identity = run.kernel, self.identity
        first = FIRST + self.keep_fds
        channel = kernel.dup_above(run.fds["start"], first)
        proc = kernel.dup_above(run.mounts["proc"], first) if identity.lsm else -1
        candidates = [os.fsencode(path) for path in run.candidates]
        content = pack_block(
            channel_fd=channel,
            cwd=os.fsencode(run.cwd),
            candidates=len(candidates),
            uid=identity.uid,
            gid=identity.gid,
            umask=identity.umask,
            groups=None if run.groups_denied else identity.groups,
            bounding=identity.bounding,
            effective=identity.effective,
            permitted=identity.permitted,
            inheritable=identity.inheritable,
            ambient=identity.ambient,
            last_cap=identity.last_cap,
            wait=self.wait,
            no_new_privs=identity.no_new_privs,
            keep_fds=self.keep_fds,
            proc_fd=proc,
            lsm=identity.lsm,
            rlimits=identity.rlimits,
            seccomp=run.seccomp[0] if run.seccomp else None,
            seccomp_flags=run.seccomp[1] if run.seccomp else 0,
            away=run.away,
            all_cpus=identity.all_cpus,
        )
        block = kernel.dup_above(sealed_memfd(kernel, "oci-init-block", content), first)
        for fd in (channel, block, proc):
            if fd >= 0:
                kernel.keep_on_exec(fd)
        # From here on the container outlives the command that created it.
        kernel.prctl(c.PR_SET_PDEATHSIG, 0)
        argv = init_argv(block, candidates, [os.fsencode(argument) for argument in self.args])
        environment = [os.fsencode(entry) for entry in run.environment]
        try:
            kernel.execveat(run.fds["init"], argv, environment)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise OSError(errno.E2BIG, too_long(self.args, run.environment)) from None


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
        os.close(run.fds.pop("start"))

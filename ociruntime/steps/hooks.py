"""Hooks on the host side: prestart, createRuntime, poststart, poststop; and createContainer in the
container's namespaces (config.md#posix-platform-hooks).
"""

from __future__ import annotations

from ociruntime.errors import HookError
from ociruntime.process.hook import run_hook
from ociruntime.process.hookguard import CONTAINER_ENDED, HookGuard, HookWatch
from ociruntime.process.step import CONTAINER, HOST, Step
from ociruntime.spec.idmaps import host_id
from ociruntime.steps.spawn import Spawn

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.process.run import Run
    from ociruntime.spec.documents import HookConfig


def _root_of(run: Run) -> tuple[int, int] | None:
    """How the host knows root of the user namespace that is made, None where none is."""
    for step in run.steps:
        if isinstance(step, Spawn) and step.uid_maps and step.gid_maps:
            uid, gid = host_id(step.uid_maps, 0), host_id(step.gid_maps, 0)
            return None if uid is None or gid is None else (uid, gid)
    return None


def _over(run: Run) -> str:
    """Why nobody needs what a hook does, "" while somebody does."""
    return CONTAINER_ENDED if run.kernel.has_ended(run.pidfd) else run.over()


class RunHook(Step):
    """Run one hook and wait for it; failing, it fails the operation.

    ``status`` is the word the hook finds in its state document.
    """

    __slots__ = ("hook", "index", "path", "phase", "poststop", "side", "status")

    kind = "run-hook"
    stage = "hooks"

    host_undoes = True  # the poststop hooks are the host's to run, wherever this one failed

    def __init__(
        self,
        phase: str,
        index: int,
        hook: HookConfig,
        status: str,
        poststop: list[HookConfig],
    ) -> None:
        super().__init__(f"/hooks/{phase}/{index}", f"hooks.{phase}[{index}] {hook['path']}")
        self.phase = phase
        self.index = index
        self.path: str = hook["path"]
        self.hook = hook
        self.status = status
        self.poststop = poststop
        self.side = CONTAINER if phase == "createContainer" else HOST

    def describe(self) -> str:
        return f"run the {self.phase} hook {self.path}"

    def operands(self) -> dict[str, object]:
        return {"phase": self.phase, "index": self.index, "path": self.path, "status": self.status}

    def execute(self, run: Run) -> None:
        assert run.container is not None
        what = self.label, self.hook, run.container, self.status
        if self.side == HOST:
            guard = HookGuard(lambda: _over(run))
            run_hook(*what, run.pid, run.umask, guard)
            return
        # A hook in the container's namespaces is told the pid as the container sees it.
        pid = run.inner.ask_call("getpid").value
        run_hook(*what, pid, run.umask, HookWatch(run.patience()), run.inner, _root_of(run))

    def undo(self, run: Run) -> None:
        """The first hook's undo, which runs last, owes the poststop hooks (runtime.md#lifecycle,
        steps 5 to 13).
        """
        first = next(step for step in run.steps if isinstance(step, RunHook))
        if first is not self or run.container is None:
            return
        for index, hook in enumerate(self.poststop):
            label = f"hooks.poststop[{index}] {hook['path']}"
            try:
                run_hook(label, hook, run.container, "stopped", 0, run.umask)
            except HookError as error:
                run.warnings.append(str(error))

"""startContainer hooks: programs of the image, which run as the container's process would
(config.md#startcontainer-hooks).

Such a hook is one more process of the container, made as ``exec`` makes one, from the config's own
process: user, groups, capabilities, no_new_privs, filter, label, umask, limits, scheduling, working
directory and environment are that process's. A program of the image is never more than that.
"""

from __future__ import annotations

from ociruntime.errors import HookError, OciError
from ociruntime.jsontext import to_bytes
from ociruntime.kernel.pids import is_alive
from ociruntime.lifecycle.exec import exec_process
from ociruntime.plan.exec import start_hook
from ociruntime.process.hook import Hearing
from ociruntime.process.hookguard import CONTAINER_ENDED, HookGuard
from ociruntime.process.hookoutput import close_outputs, open_outputs
from ociruntime.state import status as st
from ociruntime.state.document import state_document

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.spec.documents import HookConfig, ProcessConfig
    from ociruntime.state.store import Container


def run_start_hook(
    label: str, hook: HookConfig, container: Container, process: ProcessConfig
) -> None:
    """Run ``hook`` in the created container, whose config has ``process``; raises
    ``HookError``.
    """
    process, options = start_hook(hook, process)
    # The container sees its first process as 1 when it has a pid namespace, else as we do.
    pid = container.data["pid"] if container.data.get("shared_pid") else 1
    document = to_bytes(state_document(container, st.CREATED, pid))
    outputs = open_outputs(container.data.get("annotations"))
    hearing = Hearing(label, hook, document)
    try:
        options.streams = hearing.streams(outputs)
        run = exec_process(container, process, options)
    except OciError as error:
        hearing.close()
        raise HookError(f"{label}: {error}") from None
    finally:
        close_outputs(outputs)
    try:
        hearing.attend(run.pid, HookGuard(lambda: _over(container), inside=True))
    finally:
        run.close()


def _over(container: Container) -> str:
    """Killed meanwhile, a container has nothing to start; a hook of one that shares the processes
    of another outlives it.
    """
    data = container.data
    return "" if is_alive(data["pid"], data["start_time"]) else CONTAINER_ENDED

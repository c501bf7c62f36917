"""delete: take away what create made, and nothing else (runtime.md#delete)."""

from __future__ import annotations

from select import POLLIN, poll

from ociruntime import hostos as os
from ociruntime.errors import HookError, OciError, WrongStatus
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import open_process
from ociruntime.lifecycle.kill import SIGKILL, let_die, saved_group
from ociruntime.process.hook import run_hook
from ociruntime.state import status as st
from ociruntime.state.store import LOCK_SECONDS, DamagedStateError

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.state.store import Container, Store

DEATH_SECONDS = 10.0


def delete(container: Container) -> list[str]:
    """Remove a container (loaded and locked) that does not run; returns warnings.

    A created container is killed: engines delete it like that, and so do runc and crun. Raises
    ``WrongStatus`` without effect.
    """
    word = st.status(container)
    if word in (st.RUNNING, st.PAUSED):
        raise WrongStatus(
            f"cannot delete container {container.id} that is not stopped: {word}; "
            "kill it first, or use --force"
        )
    return destroy(container)


def delete_by_force(store: Store, container_id: str) -> list[str]:
    """Remove a container whatever its state is; returns warnings.

    Its process is killed before anything is waited for: who holds the container's lock may be
    waiting for that process. Raises ``NotFound``, ``OciError`` when something cannot be removed.
    """
    warnings: list[str] = []
    try:
        container = store.open(container_id)
        _kill_first(container)
        container.ready(LOCK_SECONDS, insist=True)
    except DamagedStateError as error:
        from ociruntime.lifecycle.salvage import salvage

        container, told = salvage(store, container_id)
        warnings += [str(error), *told]
    try:
        return warnings + destroy(container)
    finally:
        container.close()


def _kill_first(container: Container) -> None:
    data = container.data
    pidfd = open_process(data.get("pid", 0), data.get("start_time", 0))
    if pidfd < 0:
        return
    try:
        Kernel().pidfd_send_signal(pidfd, SIGKILL)
        let_die(container)
    except (OSError, OciError):
        pass  # it is tried again with the lock, and told then
    finally:
        os.close(pidfd)


def destroy(container: Container) -> list[str]:
    """Kill what is left of the container and remove all of it, however far its creation came."""
    warnings: list[str] = []
    data = container.data
    if data:
        _end_process(container)
        group = saved_group(container)
        if group is not None:
            group.remove(kill=True)
        half_made = data.get("status") == st.CREATING
        rdt = data.get("rdt")
        if rdt:
            from ociruntime.steps.rdt import remove_rdt

            remove_rdt(rdt["remove"] + (rdt["made"] if half_made else []), warnings)
        _run_poststop(container, warnings)
        pid_file = data.get("pid_file")
        if half_made and pid_file:
            from ociruntime.state.pidfile import remove_pid_file

            remove_pid_file(pid_file, data.get("pid", 0))
    container.remove()
    return warnings


def _end_process(container: Container) -> None:
    data = container.data
    pidfd = open_process(data.get("pid", 0), data.get("start_time", 0))
    if pidfd < 0:
        return
    try:
        try:
            Kernel().pidfd_send_signal(pidfd, SIGKILL)
        except ProcessLookupError:
            return
        let_die(container)
        poller = poll()
        poller.register(pidfd, POLLIN)
        if not poller.poll(DEATH_SECONDS * 1000):
            raise OciError(
                f"container {container.id}: process {data['pid']} did not die of SIGKILL within "
                f"{DEATH_SECONDS:g} s; {_what_keeps(data['pid'])}"
            )
    finally:
        os.close(pidfd)


def _what_keeps(pid: int) -> str:
    """Why a process that was killed is there still, as far as it can be told."""
    from ociruntime.kernel.pids import STATE, stat_fields
    from ociruntime.process.patience import FROZEN_CURE, why_held

    why = why_held(pid)
    if why.startswith("frozen"):
        return f"it is {why}; {FROZEN_CURE}"
    if stat_fields(pid)[STATE:1] == [b"D"]:
        return "it hangs in the kernel (state D); a device or a file system does not answer"
    return (
        "the last process of its pid namespace may wait for others that nobody has waited for; end "
        "the processes that executed or trace them, and delete again"
    )


def _run_poststop(container: Container, warnings: list[str]) -> None:
    """Poststop hooks; a failure is a warning and the next one runs all the same
    (config.md#poststop).
    """
    if "poststop" not in container.data.get("hooks", ()):
        return
    try:
        hooks = container.config()["hooks"]["poststop"]
    except FileNotFoundError:
        return  # its maker was killed before any hook could run
    except DamagedStateError:
        what = "its stored config.json is damaged; its poststop hooks were not run"
        warnings.append(f"container {container.id}: {what}")
        return
    for index, hook in enumerate(hooks):
        label = f"hooks.poststop[{index}] {hook['path']}"
        try:
            run_hook(label, hook, container, st.STOPPED, 0)
        except HookError as error:
            warnings.append(str(error))

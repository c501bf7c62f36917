"""kill: a signal for the container's process (runtime.md#kill)."""

from __future__ import annotations

from ociruntime.cgroups.frozen import holds_back
from ociruntime.errors import NOT_RUNNING, PROCESS_FINISHED, UsageError, WrongStatus
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import open_process
from ociruntime.kernel.signals import BY_NAME, SIGRTMAX, SIGRTMIN
from ociruntime.state import status as st

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.group import Group
    from ociruntime.cgroups.stored import StoredPlacement
    from ociruntime.state.store import Container

SIGKILL = 9
LAST_SIGNAL = 64


def parse_signal(text: str) -> int:
    """The number of ``9``, ``KILL``, ``sigkill``, ``RTMIN+3`` or ``SIGRTMAX-1``; raises
    ``UsageError``.

    0 is a signal as in kill(2): it does nothing and fails where the process is gone.
    """
    if text.isascii() and text.isdecimal():
        number = int(text)
        if number <= LAST_SIGNAL:
            return number
    else:
        name = text.upper().removeprefix("SIG")
        for base in ("RTMIN", "RTMAX"):
            if name.startswith(base):
                return _realtime(text, base, name.removeprefix(base))
        if name in BY_NAME:
            return BY_NAME[name]
    from ociruntime.similar import nearest

    meant = nearest(text.upper().removeprefix("SIG"), BY_NAME) if text.isascii() else ""
    cure = f"did you mean {meant}?" if meant else "use a number from 0 to 64 or a name such as TERM"
    raise UsageError(f"unknown signal {text!a}; {cure}")


def _realtime(text: str, base: str, offset: str) -> int:
    start = SIGRTMIN if base == "RTMIN" else SIGRTMAX
    digits = offset[1:]
    if not offset:
        return start
    if offset[0] in "+-" and digits.isascii() and digits.isdecimal():
        number = start + int(offset)
        if SIGRTMIN <= number <= SIGRTMAX:
            return number
    raise UsageError(f"unknown signal {text!a}; real-time signals are RTMIN to RTMIN+30")


def kill(container: Container, number: int, *, everything: bool = False) -> None:
    """Send signal ``number`` to the container's process; with ``everything`` to every process of
    its cgroup.

    SIGKILL reaches everything, too, when the container has no pid namespace of its own that would
    die with its first process, and then also what has outlived that process: nothing else could
    end it. Raises ``WrongStatus``: only created and running containers get signals.
    """
    data = container.data
    word = st.status(container)
    saved = data.get("cgroup")
    paths: dict[str, str] = saved["paths"] if saved else {}
    # Without a cgroup of its own there is only the first process, whose end ends a pid namespace.
    if everything and paths and word in (st.STOPPED, st.RUNNING, st.PAUSED):
        _signal_all(container, number)
        return
    if word not in (st.CREATED, st.RUNNING, st.PAUSED):
        orphaned = word == st.STOPPED and number == SIGKILL and data.get("shared_pid") and paths
        if orphaned and _signal_all(container, SIGKILL):
            return
        raise WrongStatus(f"{NOT_RUNNING}: {container.id} is {word}")
    pidfd = open_process(data["pid"], data["start_time"])
    if pidfd < 0:
        raise WrongStatus(PROCESS_FINISHED)
    kernel = Kernel()
    try:
        kernel.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise WrongStatus(PROCESS_FINISHED) from None
    finally:
        kernel.close(pidfd)
    if number == SIGKILL and paths:
        if data.get("shared_pid"):
            _signal_all(container, SIGKILL)
        else:
            let_die(container)


def _signal_all(container: Container, number: int) -> int:
    """Send it to every process of the container's cgroup; how many there were."""
    from ociruntime.cgroups.signals import signal_all

    group = saved_group(container)
    return signal_all(group, number) if group is not None else 0


def let_die(container: Container) -> None:
    """Behind SIGKILL: thaw what would keep it waiting, in the cgroup and below, whoever froze it.

    What a container froze in a cgroup of its own making would otherwise keep its first process,
    which has to outlive all others, from ending.
    """
    saved = container.data.get("cgroup")
    if saved and holds_back(Kernel(), saved["paths"]):
        _group(saved).thaw(deep=True)


def saved_group(container: Container) -> Group | None:
    """The container's cgroup as its state knows it; None when it has none of its own."""
    saved = container.data.get("cgroup")
    return _group(saved) if saved and saved["paths"] else None


def _group(saved: StoredPlacement) -> Group:
    from ociruntime.cgroups import open_group
    from ociruntime.cgroups.path import Placement

    return open_group(Kernel(), Placement.from_state(saved))

"""A container's status, found out anew each time from the kernel (runtime.md#state).

creating  its maker is still at work
paused    its cgroup is frozen (not in the specification; what engines expect)
created   oci-init waits: something listens on start.sock
running   the program has been executed
stopped   the process has ended, or its maker was killed half-way
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET, socket

from ociruntime.cgroups.frozen import is_frozen
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.pids import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.state.store import Container
    from ociruntime.state.stored import StoredState

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"


def status(container: Container) -> str:
    """One of the five words."""
    data = container.data
    if not data:
        return CREATING
    if data["status"] == CREATING:
        maker = data["maker"]
        return CREATING if is_alive(maker["pid"], maker["start_time"]) else STOPPED
    if not is_alive(data["pid"], data["start_time"]):
        return STOPPED
    # Created containers can be paused, too: `start` would wait for a frozen init.
    if is_paused(data):
        return PAUSED
    return CREATED if container.has_socket() and is_waiting(container) else RUNNING


def is_paused(data: StoredState) -> bool:
    """Whether the container's cgroup is frozen."""
    saved = data.get("cgroup")
    return saved is not None and is_frozen(Kernel(), saved["paths"])


def connect(container: Container) -> socket | None:
    """A connection to the waiting oci-init, or None when nobody listens any more; it neither waits
    now nor later (O_NONBLOCK).

    Nothing is sent: oci-init goes back to waiting when the connection closes without the word to
    start. Raises ``BlockingIOError`` when oci-init does not take connections: somebody holds it up.
    """
    client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    try:
        # The path through our fd is short whatever --root is: a socket's name has at most 107
        # bytes.
        client.connect(f"/proc/self/fd/{container.fd}/start.sock")
    except (ConnectionRefusedError, FileNotFoundError):
        client.close()
        return None
    except BaseException:
        client.close()
        raise
    return client


def is_waiting(container: Container) -> bool:
    """Whether oci-init still waits for ``start``."""
    try:
        client = connect(container)
    except BlockingIOError:
        return True  # so many have asked already, and it listens still
    if client is None:
        return False
    client.close()
    return True


def pid_of(container: Container, word: str) -> int:
    """The pid that belongs into a state document with the status ``word``."""
    return 0 if word in (STOPPED, CREATING) else int(container.data.get("pid", 0))

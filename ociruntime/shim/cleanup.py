"""What `delete` does: remove a container whose daemon has gone.

The state directory is a runtime option, and options do not come with `delete`: where it is not the
default one, Create notes it in the bundle.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket

from ociruntime import hostos as os
from ociruntime.errors import NotFound, OciError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle.delete import delete_by_force
from ociruntime.shim.options import DEFAULT_ROOT
from ociruntime.shim.rootfs import unmount_rootfs
from ociruntime.shim.shared import ask
from ociruntime.state.ids import check_id
from ociruntime.state.store import DamagedStateError, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.log import Log

ROOT_FILE = "runtime-root"
ADDRESS_FILE = "address"
S_IFSOCK = 0o140000
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


def note_root(bundle: str, root: str) -> None:
    """Remember the state directory in the bundle."""
    if root == DEFAULT_ROOT:
        return
    kernel = Kernel()
    fd = kernel.open(os.path.join(bundle, ROOT_FILE), WRITE, 0o600)
    try:
        kernel.write_all(fd, os.fsencode(root))
    finally:
        os.close(fd)


def noted_root(bundle: str) -> str:
    """What ``note_root`` noted."""
    try:
        fd = os.open(os.path.join(bundle, ROOT_FILE), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return DEFAULT_ROOT
    try:
        return os.fsdecode(os.read(fd, 4096)) or DEFAULT_ROOT
    finally:
        os.close(fd)


def clean_up(namespace: str, container_id: str, bundle: str, log: Log) -> int:
    """Kill and remove the container and unmount its root filesystem; its pid, 0 if there is none.

    What cannot be removed is a warning: containerd goes on with what it removes itself.
    """
    store = Store(os.path.join(noted_root(bundle), namespace))
    pid = 0
    try:
        pid = _pid(store, check_id(container_id))
        ask_to_forget(bundle, container_id)
        for warning in delete_by_force(store, container_id):
            log.warning(warning)
    except NotFound:
        pass
    except OciError as error:
        log.warning(str(error))
    unmount_rootfs(bundle)
    remove_socket(bundle)
    return pid


def _pid(store: Store, container_id: str) -> int:
    try:
        container = store.open(container_id)
    except DamagedStateError:
        return 0
    try:
        return int(container.data.get("pid", 0))
    finally:
        container.close()


def socket_of(bundle: str) -> str:
    """The path of the socket that the bundle's daemon listened on, empty for none."""
    try:
        fd = os.open(os.path.join(bundle, ADDRESS_FILE), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.fsdecode(os.read(fd, 4096)).removeprefix("unix://")
    finally:
        os.close(fd)


def ask_to_forget(bundle: str, container_id: str) -> None:
    """A daemon that lives, and has other containers, must not keep this one's id for ever. Raises
    ``OciError`` when it does not answer.
    """
    path = socket_of(bundle)
    if path and answers(path):
        ask(path, "Forget", container_id)


def remove_socket(bundle: str) -> None:
    """Remove the socket that the bundle's daemon listened on, unless one does: others may have it
    still.
    """
    path = socket_of(bundle)
    try:
        if os.stat(path).st_mode & os.S_IFMT == S_IFSOCK and not answers(path):
            os.unlink(path)
    except FileNotFoundError:
        pass


def answers(path: str) -> bool:
    """Whether a daemon listens on the socket, one that has no time for us included."""
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    try:
        probe.connect(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return True

"""What `delete` does: remove a container whose daemon has gone.

The state directory is a runtime option, and options do not come with `delete`: where it is not the
default one, Create notes it in the bundle.
"""

from __future__ import annotations

import os

from ociruntime.errors import NotFound, OciError
from ociruntime.lifecycle.delete import delete
from ociruntime.shim.options import DEFAULT_ROOT
from ociruntime.shim.rootfs import unmount_rootfs
from ociruntime.state.ids import check_id
from ociruntime.state.store import DamagedStateError, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.log import Log

ROOT_FILE = "runtime-root"


def note_root(bundle: str, root: str) -> None:
    """Remember the state directory in the bundle."""
    if root == DEFAULT_ROOT:
        return
    with open(os.path.join(bundle, ROOT_FILE), "wb", buffering=0) as file:
        file.write(os.fsencode(root))


def noted_root(bundle: str) -> str:
    """What ``note_root`` noted."""
    try:
        with open(os.path.join(bundle, ROOT_FILE), "rb", buffering=0) as file:
            return os.fsdecode(file.read(4096)) or DEFAULT_ROOT
    except FileNotFoundError:
        return DEFAULT_ROOT


def clean_up(namespace: str, container_id: str, bundle: str, log: Log) -> int:
    """Kill and remove the container and unmount its root filesystem; its pid, 0 if there is none.

    What cannot be removed is a warning: containerd goes on with what it removes itself.
    """
    store = Store(os.path.join(noted_root(bundle), namespace))
    pid = 0
    try:
        container = store.open_locked(check_id(container_id))
        pid = int(container.data.get("pid", 0))
        for warning in delete(container, force=True):
            log.warning(warning)
    except NotFound:
        pass
    except DamagedStateError:
        store.discard(container_id)
    except OciError as error:
        log.warning(str(error))
    unmount_rootfs(os.path.join(bundle, "rootfs"))
    return pid

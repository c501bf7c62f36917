"""Plan: a socket of its own by which a container tells a service manager that it is ready
(``process.readiness``).
"""

from __future__ import annotations

from ociruntime.process.readiness import VARIABLE
from ociruntime.state.notify import DIRECTORY, INSIDE, SOCKET
from ociruntime.steps.notify import MakeNotifyDirectory

TYPE_CHECKING = False
if TYPE_CHECKING:

    from ociruntime.plan.requests import CreateRequest
    from ociruntime.spec.documents import Config, MountConfig

MOUNT_POINT = "/run/notify"
MOUNT_OPTIONS = ["bind", "ro", "nosuid", "nodev", "noexec", "private"]


def offer(config: Config, options: CreateRequest) -> None:
    """Have ``create`` give the container a socket, unless its configuration has one already (podman
    makes its own): a mount, a variable, and the directory on the host.
    """
    process = config.get("process")
    if process is None or any(entry.startswith(f"{VARIABLE}=") for entry in process.get("env", ())):
        return
    options.beginning.append(MakeNotifyDirectory())
    options.variables.append(f"{VARIABLE}={MOUNT_POINT}/{SOCKET}")
    mount(config, f"{options.store.root}/{options.id}")


def mount(config: Config, container: str) -> None:
    """Add the mount to a configuration; ``container`` is its directory under --root."""
    entry: MountConfig = {
        "destination": MOUNT_POINT,
        "type": "bind",
        "source": f"{container}/{DIRECTORY}/{INSIDE}",
        "options": MOUNT_OPTIONS,
    }
    config["mounts"] = [*(config.get("mounts") or ()), entry]

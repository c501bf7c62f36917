"""What is known of every container on a network: written before the first plugin is called, kept
until the last one has let go. So DEL, CHECK and GC never depend on a file that somebody edits.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.digest import digest
from ociruntime.kernel.pids import is_alive, start_time
from ociruntime.network import cni
from ociruntime.network.files import STATE_DIRECTORY, Directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


# What an attachment's file has.
KEYS = (
    "id", "bundle", "created", "pid", "started", "inode", "device", "network", "runtime", "path",
    "netns", "pin", "result",
)  # fmt: skip


class Attachment:
    """One interface of one container. ``data`` is what is stored under ``name``."""

    __slots__ = ("data", "name")

    def __init__(self, name: str, data: Json) -> None:
        self.name = name
        self.data = data

    @property
    def container(self) -> str:
        """The id as plugins know it."""
        return cni_id(self.data["id"])

    def holder_lives(self) -> bool:
        """Whether the container's first process is still there."""
        return is_alive(self.data["pid"], self.data["started"])

    def is_dead(self, namespaces: set[int]) -> bool:
        """Whether neither the container nor anybody who joined its network is there any more;
        ``namespaces`` are those in use.
        """
        return not self.holder_lives() and self.data["inode"] not in namespaces


class Attachments:
    """All attachments below the directory ``state``."""

    def __init__(self, state: str = STATE_DIRECTORY) -> None:
        self.state = state
        self.directory = Directory(os.path.join(state, "attachments"))

    def held(self) -> Directory:
        """A context manager for everybody who attaches or detaches a container: until it ends, no
        garbage is collected. A collector takes what is not written down for garbage, so it waits
        (``with attachments.directory``), and is waited for.
        """
        return Directory(self.directory.path, shared=True)

    def new(self, state: Json, device: str, network: Json, runtime: Json, path: str) -> Attachment:
        """Make and store the attachment of a container.

        Parameters: ``state`` is the container's state document, ``device`` the interface's name,
        ``network`` the conflist, ``runtime`` what is offered to capabilities, ``path`` the
        directories with plugins. Raises ``OSError`` when the process is gone.
        """
        pid = state["pid"]
        data = {
            "id": state["id"],
            "bundle": state.get("bundle", ""),
            "created": state.get("created", ""),
            "pid": pid,
            "started": start_time(pid),
            "inode": os.stat(f"/proc/{pid}/ns/net").st_ino,
            "device": device,
            "network": network,
            "runtime": runtime,
            "path": path,
            "netns": f"/proc/{pid}/ns/net",
            "pin": "",
            "result": None,
        }
        attachment = Attachment(f"{_prefix(state['id'])}{device}", data)
        self.save(attachment)
        return attachment

    def save(self, attachment: Attachment) -> None:
        """Store what has changed."""
        self.directory.write(attachment.name, attachment.data)

    def remove(self, attachment: Attachment) -> None:
        """Forget it."""
        self.directory.remove(attachment.name)

    def of(self, container_id: str) -> list[Attachment]:
        """Those of one container."""
        return self._load(_prefix(container_id))

    def all(self) -> list[Attachment]:
        """All of them."""
        return self._load("")

    def _load(self, prefix: str) -> list[Attachment]:
        found = []
        for name in self.directory.names(prefix):
            data = self.directory.read(name, KEYS)
            if data is not None:
                found.append(Attachment(name, data))
        return found


def namespaces_in_use() -> set[int]:
    """The inode numbers of the network namespaces that processes are in."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                found.add(os.stat(f"/proc/{entry}/ns/net").st_ino)
            except OSError:
                continue  # it has just ended
    return found


def cni_id(container_id: str) -> str:
    """The id that plugins get: some that a runtime accepts are none in CNI."""
    if cni.is_cni_id(container_id):
        return container_id
    return "oci-" + digest(container_id.encode()).hex()[:40]


def _prefix(container_id: str) -> str:
    return digest(container_id.encode()).hex()[:32] + "-"

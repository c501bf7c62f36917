"""state.json as types: what ``create`` writes down of a container, for later commands, and the
state document that is made of it.

It is a stub without a module, as spec/documents.pyi is. A container has no member before ``create``
has written them, or when nothing of a damaged state.json could be proven.
"""

from typing import TypedDict

from ociruntime.cgroups.stored import StoredPlacement
from ociruntime.seccomp.stored import StoredFilter, StoredListener
from ociruntime.spec.documents import LinuxConfig, MountConfig, StateDocument

class StoredMaker(TypedDict):
    """The process that makes a container, until it is made."""

    pid: int
    start_time: int

# A class and a monitoring group of resctrl; which of them `delete` removes, and which it removes
# of a container that was not made to the end. "class" is a keyword.
StoredRdt = TypedDict(
    "StoredRdt", {"class": str, "group": str, "remove": list[str], "made": list[str]}
)

class StoredLabels(TypedDict, total=False):
    """The security label of the container's process."""

    apparmorProfile: str
    selinuxLabel: str

class StoredState(TypedDict, total=False):
    """
    pid, start_time  the container's first process, 0 before there is one
    root             device's major and minor number and inode of its root directory
    every_process    what of ``linux`` is done for each process of the container
    added_places     [destination, mount id] of what `mounts add` has attached
    """

    added_mounts: list[MountConfig]
    added_places: list[tuple[str, int]]
    annotations: dict[str, str]
    bundle: str
    cgroup: StoredPlacement | None
    config_checksum: int
    created: str
    every_process: LinuxConfig
    has_process: bool
    has_seccomp: bool
    hooks: list[str]
    labels: StoredLabels
    maker: StoredMaker
    namespaces: list[str]
    ociVersion: str
    owner: str
    pid: int
    pid_file: str | None
    rdt: StoredRdt | None
    root: list[int] | None
    rootfs: str
    seccomp_listener: StoredListener | None
    seccomp_program: StoredFilter | None
    setgroups: bool
    shared_pid: bool
    start_time: int
    status: str
    terminal: bool
    version: int

class ReportedState(StateDocument):
    """The state document with the members that runc adds."""

    rootfs: str
    created: str
    owner: str

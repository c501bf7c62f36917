"""The standard streams of a container without a terminal, which lead out of it.

In the images a stream is only named: ``pipe:[4711]`` or ``file[1f:4711]``. `checkpoint` writes
these names down, and `restore` hands CRIU a descriptor of its own for each.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.bundle import parse
from ociruntime.checkpoint.directory import read
from ociruntime.checkpoint.externals import MountTable
from ociruntime.errors import OciError, SpecError
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

# The name that runc and crun give the file, too.
DESCRIPTORS = "descriptors.json"
STREAMS = (0, 1, 2)
LIMIT = 1 << 16
KINDS = ("pipe:[", "socket:[")
FILE = "file["


class Streams:
    """Those of process ``pid``: ``keys`` has what CRIU calls each, or what it is beside."""

    __slots__ = ("keys",)

    def __init__(self, kernel: Kernel, pid: int) -> None:
        table = MountTable.of(kernel, pid)
        self.keys = [self._key(kernel, table, pid, number) for number in STREAMS]

    def externals(self) -> list[str]:
        """What CRIU must be told are not the container's own files."""
        return sorted({key for key in self.keys if key.startswith(FILE)})

    @staticmethod
    def _key(kernel: Kernel, table: MountTable, pid: int, number: int) -> str:
        try:
            link = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            return ""
        if link.startswith(KINDS):
            return link
        mount = mount_of(kernel, pid, number)
        fd = kernel.open(f"/proc/{pid}/fd/{number}", c.O_PATH)
        try:
            stat = kernel.stat(fd)
        finally:
            kernel.close(fd)
        if mount not in table.points and stat.kind in (c.S_IFREG, c.S_IFCHR):
            return f"{FILE}{mount:x}:{stat.ino:x}]"
        return link


def mount_of(kernel: Kernel, pid: int, number: int) -> int:
    """The id of the mount that a descriptor of process ``pid`` is on (proc_pid_fdinfo(5))."""
    fd = kernel.open(f"/proc/{pid}/fdinfo/{number}", c.O_RDONLY)
    try:
        for line in kernel.read_whole(fd).decode().splitlines():
            if line.startswith("mnt_id:"):
                return int(line.partition(":")[2])
    finally:
        kernel.close(fd)
    return -1


def keys_in(images: int) -> list[str]:
    """For `restore`: what the streams were; the images may be anybody's, so nothing but names of
    pipes, sockets and files is taken from there.
    """
    raw = read(images, DESCRIPTORS, LIMIT)
    if not raw:
        return []
    try:
        found = parse(raw, DESCRIPTORS)
    except SpecError as error:
        raise OciError(f"{DESCRIPTORS} of the checkpoint: {error}") from None
    if not isinstance(found, list):
        return []
    return [key if isinstance(key, str) and _is_key(key) else "" for key in found[: len(STREAMS)]]


def _is_key(text: str) -> bool:
    """Whether this names a pipe, a socket or a file outside."""
    if not text.endswith("]"):
        return False
    if text.startswith(KINDS):
        return text[text.index("[") + 1 : -1].isdecimal()
    if not text.startswith(FILE):
        return False
    mount, colon, inode = text[len(FILE) : -1].partition(":")
    return bool(colon) and all(
        part and set(part) <= set("0123456789abcdef") for part in (mount, inode)
    )

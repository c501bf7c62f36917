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
STREAMS, MOST = 3, 256
LIMIT = 1 << 16
KINDS = ("pipe:[", "socket:[")
FILE = "file["


class Streams:
    """Those of process ``pid``, and what follows them: ``keys`` has, by the descriptor's number,
    what CRIU calls each, or what it is beside.
    """

    __slots__ = ("keys",)

    def __init__(self, kernel: Kernel, pid: int) -> None:
        table = MountTable.of(kernel, pid)
        count = STREAMS
        there = set(os.listdir(f"/proc/{pid}/fd"))
        while count < MOST and str(count) in there:
            count += 1
        self.keys = [self._key(kernel, table, pid, number) for number in range(count)]

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


def keys_in(images: int, count: int = STREAMS) -> list[str]:
    """For `restore`: what the first ``count`` descriptors were; the images may be anybody's, so
    nothing but names of pipes, sockets and files is taken from there.
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
    return [key if isinstance(key, str) and _is_key(key) else "" for key in found[:count]]


def handed_in(keys: list[str], descriptors: list[int]) -> dict[str, int]:
    """For each key the descriptor that is handed in for it. Of several with one key, a shell's
    redirection as a rule, it is one that was preserved, else the first.
    """
    given: dict[str, int] = {}
    for fd, key in zip(descriptors, keys, strict=False):
        if key and (key not in given or given[key] < STREAMS <= fd):
            given[key] = fd
    return given


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

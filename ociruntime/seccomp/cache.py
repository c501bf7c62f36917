"""Compiled programs under --root, so that a profile is compiled once. Imported on the hot path.

    ROOT/.seccomp/       0700
    ROOT/.seccomp/KEY    0600, KEY as ``profile.program_key`` gives it, replaced by rename(2)

An entry is used only when it is a regular file of the caller's own that nobody else may read or
write, when its checksum (which covers the key, too) is right, and when the libseccomp that made it
is still the one on this host. Everything else is as good as no entry: the profile is compiled
again. So the cache can be removed, damaged or filled at any time.
"""

from __future__ import annotations

from _struct import Struct

from ociruntime import hostos as os
from ociruntime.seccomp.fingerprint import SIZE, fingerprint

DIRECTORY = ".seccomp"
MAGIC = b"ociscmp3"
LARGEST = 1 << 18
# A bound for engines that write a new profile for each container.
MOST_ENTRIES = 64
# Actions of our own system calls; inode, time of change (ns) and size of the library; lengths.
HEADER = Struct("=4I3Q3I")


class FilterProgram:
    """A filter, and what is known about it.

    code      an array of struct sock_filter, as seccomp(2) takes it
    execve, capset, prctl, sendmsg
              what it returns (SECCOMP_RET_*) for the system calls that oci-init itself makes after
              it is loaded
    skipped   names of system calls that libseccomp does not know -> the one that was probably
              meant, "" where none is near
    library   path of the libseccomp that made it
    stamp     inode number, time of change (ns) and size (bytes) of that file
    """

    __slots__ = ("capset", "code", "execve", "library", "prctl", "sendmsg", "skipped", "stamp")

    def __init__(self, code: bytes, library: str, stamp: tuple[int, int, int]) -> None:
        self.code = code
        self.library = library
        self.stamp = stamp
        self.execve = self.capset = self.prctl = self.sendmsg = 0
        self.skipped: dict[str, str] = {}


def file_stamp(path: str) -> tuple[int, int, int]:
    """What tells one library from its update; zeros when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size


def load(root: str, key: str) -> FilterProgram | None:
    """The program called ``key`` below the state directory ``root``, None when it must be made."""
    data = _read(f"{root}/{DIRECTORY}/{key}")
    start = len(MAGIC) + SIZE
    if len(data) < start + HEADER.size or not data.startswith(MAGIC):
        return None
    body = data[start:]
    if data[len(MAGIC) : start] != fingerprint(key.encode() + body):
        return None
    fields = HEADER.unpack_from(body)
    stamp = fields[4:7]
    texts_at = HEADER.size
    names_at = texts_at + fields[7]
    code_at = names_at + fields[8]
    if fields[9] != len(body) - code_at:
        return None
    program = FilterProgram(body[code_at:], os.fsdecode(body[texts_at:names_at]), stamp)
    program.execve, program.capset, program.prctl, program.sendmsg = fields[:4]
    names = body[names_at:code_at].decode()
    words = names.split("\0") if names else []
    program.skipped = dict(zip(words[::2], words[1::2], strict=True))
    return program if file_stamp(program.library) == stamp else None


def _read(path: str) -> bytes:
    """The file, empty when it is absent or not to be trusted."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        status = os.fstat(fd)
        private = status.st_uid == os.geteuid() and not status.st_mode & 0o7177
        if not os.is_regular(status.st_mode) or not private or status.st_size > LARGEST:
            return b""
        return os.read(fd, status.st_size)
    except OSError:
        return b""
    finally:
        os.close(fd)


def store(root: str, key: str, program: FilterProgram) -> None:
    """Keep ``program``; raises ``OSError`` when the directory cannot be written."""
    texts = os.fsencode(program.library)
    names = "\0".join(word for pair in program.skipped.items() for word in pair).encode()
    own = (program.execve, program.capset, program.prctl, program.sendmsg)
    lengths = (len(texts), len(names), len(program.code))
    body = HEADER.pack(*own, *program.stamp, *lengths) + texts + names + program.code
    data = MAGIC + fingerprint(key.encode() + body) + body
    directory = f"{root}/{DIRECTORY}"
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    temporary = f"{directory}/.{key}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.rename(temporary, f"{directory}/{key}")
    except OSError:
        os.unlink(temporary)
        raise
    _shrink(directory)


def _shrink(directory: str) -> None:
    """Remove the oldest entries beyond MOST_ENTRIES, temporary files of the dead among them."""
    with os.scandir(directory) as found:
        entries = [entry.path for entry in found]
    if len(entries) <= MOST_ENTRIES:
        return
    entries.sort(key=lambda path: file_stamp(path)[1])
    for path in entries[:-MOST_ENTRIES]:
        try:
            os.unlink(path)
        except OSError:
            pass  # another command was faster

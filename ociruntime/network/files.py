"""Files that several processes change: a lock for a directory, and whole or no files."""

from __future__ import annotations

from fcntl import LOCK_EX, LOCK_SH, flock

from ociruntime import hostos as os
from ociruntime.bundle import parse_object, read_all
from ociruntime.errors import OciError, SpecError
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    Json = dict[str, Any]

# Gone after a restart of the host, as the containers are.
STATE_DIRECTORY = "/run/ociruntime-net"
LOCK = "lock"
UNFINISHED = ".new"
DAMAGED = "the file is damaged: remove it, then `ociruntime net gc`"


class Directory:
    """A directory of JSON files, made with mode 0700 when it is first needed.

    As a context manager it is locked: other processes wait. The lock ends with its holder. Those
    who have the directory ``shared`` wait for the others only.
    """

    def __init__(self, path: str, *, shared: bool = False) -> None:
        self.path = path
        self._how = LOCK_SH if shared else LOCK_EX
        self._lock = -1

    def __enter__(self) -> Self:
        self.make()
        path = os.path.join(self.path, LOCK)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._lock = os.open(path, flags, 0o600)
        except OSError as error:
            raise _refused(path, error) from None
        flock(self._lock, self._how)
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._lock)

    def make(self) -> None:
        """Make the directory; raises ``OciError``."""
        try:
            os.makedirs(self.path, 0o700)
        except OSError as error:
            raise _refused(self.path, error) from None

    def names(self, prefix: str = "") -> list[str]:
        """The files whose names start with ``prefix``, without their ending, sorted."""
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused(self.path, error) from None
        return sorted(
            name[:-5] for name in entries if name.startswith(prefix) and name.endswith(".json")
        )

    def read(self, name: str, keys: tuple[str, ...] = ()) -> Json | None:
        """The content of a file, None when there is none. Raises ``OciError`` when it is damaged,
        or lacks one of the ``keys``.
        """
        path = self._path(name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            content = parse_object(read_all(fd, path), path)
        except SpecError as error:
            raise OciError(f"{error}; {DAMAGED}") from None
        finally:
            os.close(fd)
        missing = [key for key in keys if key not in content]
        if missing:
            raise OciError(f"{path}: no {', '.join(missing)}; {DAMAGED}")
        return content

    def write(self, name: str, content: Json) -> None:
        """Replace a file: whoever is killed when, it has the old content or the new one.

        Nobody else may write the same file: it is the caller's own, or he holds the lock.
        """
        self.make()
        path = self._path(name)
        temporary = path + UNFINISHED
        try:
            write_file(temporary, dumps(content), 0o600)
            os.rename(temporary, path)
        except OSError as error:
            if os.access(temporary, os.F_OK):
                os.unlink(temporary)
            raise _refused(path, error) from None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            pass

    def sweep(self) -> None:
        """Remove what killed writers left. The caller holds the lock."""
        for entry in os.listdir(self.path):
            if entry.endswith(UNFINISHED):
                os.unlink(os.path.join(self.path, entry))

    def _path(self, name: str) -> str:
        return os.path.join(self.path, f"{name}.json")


def _refused(path: str, error: OSError) -> OciError:
    return OciError(f"{path}: {error.strerror}; networks are root's, and need this directory")


def write_file(path: str, text: str, mode: int) -> None:
    """Make ``path`` a file with this text, in place if it is there. Raises ``OSError``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, mode)
    data = text.encode()
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)

"""The directory of one container under --root.

    ROOT/ID/                 0711, flock(2)ed by the command that changes the container; made by
                             mkdir: of two creates one wins
    ROOT/ID/state.json       what later commands need (``Container.save``), replaced by rename(2)
    ROOT/ID/.state.json.new  state.json as it was before its last change, which ``delete --force``
                             needs when somebody has damaged that one
    ROOT/ID/config.json      the configuration as it was at create: later edits in the bundle have
                             no effect
    ROOT/ID/start.sock       where oci-init waits for ``start``
    ROOT/ID/.unwanted        made by a ``delete --force`` that finds the lock taken: who has it
                             does not wait for a hook any longer

Everything that ``create`` is going to make is written down before it is made, so ``delete`` can
finish any half-made container, whenever its maker was killed.

What state.json says decides who is killed and which cgroup is removed. So it ends with a checksum
over itself and the container's id: whatever was changed in it, or comes from another container, is
not believed.
"""

from __future__ import annotations

import errno
import time
from binascii import crc32
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

from ociruntime import hostos as os
from ociruntime.bundle import parse_object, parse_settings
from ociruntime.errors import (
    AlreadyExists,
    NotFound,
    OciError,
    SpecError,
    StateError,
    explain_errno,
)
from ociruntime.jsontext import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.spec.documents import Config
    from ociruntime.state.stored import StoredState

STATE = "state.json"
CONFIG = "config.json"
SOCKET = "start.sock"
TEMPORARY = ".state.json.new"
UNWANTED = ".unwanted"
FILES = (STATE, CONFIG, SOCKET, TEMPORARY)
LOCK_SECONDS = 10.0
DELETED = "the container is being deleted by force"
CHECKSUM = "checksum"
SEAL_LENGTH = len(f',"{CHECKSUM}":"01234567"}}')
DIRECTORY_MODE = 0o711


def default_root() -> str:
    """/run/ociruntime for root, below $XDG_RUNTIME_DIR for others (an empty one counts as
    unset), root of a user namespace whose /run is somebody else's included.
    """
    runtime_directory = os.getenv("XDG_RUNTIME_DIR")
    rootless = os.geteuid() != 0 or os.getenv("_CONTAINERS_USERNS_CONFIGURED") is not None
    if runtime_directory and (rootless or not os.access("/run", os.W_OK)):
        return os.path.join(runtime_directory, "ociruntime")
    return "/run/ociruntime"


class DamagedStateError(StateError):
    """state.json cannot be used: a full disk or somebody's editor."""

    def __init__(self, container_id: str, why: str) -> None:
        cure = f"end its processes and remove it with `ociruntime delete --force {container_id}`"
        self.advice = f"damaged state: {why}; {cure}"
        super().__init__(f"container {container_id}: {self.advice}")


class Container:
    """One container's directory, open as ``fd``; locked when it came from ``claim`` or ``open``."""

    __slots__ = ("_config", "data", "fd", "id", "store")

    def __init__(self, store: Store, container_id: str, fd: int) -> None:
        self.store = store
        self.id = container_id
        self.fd = fd
        self.data: StoredState = {}
        self._config: Config | None = None

    def save(self) -> None:
        """Write ``data`` to state.json: all of it or nothing, whoever is killed when; what it was
        before stays as TEMPORARY.

        Raises ``StateError``, as ``write`` does.
        """
        # Bundles are described where our extension module may not be built yet.
        from ociruntime.kernel.kernel import Kernel

        self.write(TEMPORARY, seal(self.id, dumps(self.data)))
        try:
            Kernel().exchange(self.fd, TEMPORARY, STATE)
        except OSError:
            # There is none yet, or this file system cannot exchange.
            os.rename(TEMPORARY, STATE, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the directory; raises ``StateError`` naming --root."""
        # Cut afterwards: of a file that was emptied ext4 looks for place on the disk at once.
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        length = len(content)
        try:
            fd = os.open(name, flags, 0o600, dir_fd=self.fd)
            try:
                while content:
                    content = content[os.write(fd, content) :]
                os.ftruncate(fd, length)
            finally:
                os.close(fd)
        except OSError as error:
            raise StateError(
                f"--root {self.store.root}: cannot store {name} of container {self.id}: "
                f"{error.strerror}; make room there, or use another --root"
            ) from None

    def read(self, name: str) -> bytes:
        """The content of a file of the directory; ``FileNotFoundError`` when there is none."""
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            parts = []
            while part := os.read(fd, 16384):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    def load(self, name: str = STATE) -> None:
        """Read state.json (or ``name``) into ``data``; it stays empty when the maker was killed
        before writing it. Raises ``DamagedStateError``.
        """
        try:
            raw = self.read(name)
        except FileNotFoundError:
            self.data = {}
            return
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
                raise DamagedStateError(self.id, f"{name} is no regular file") from None
            why = explain_errno(error.errno or 0)
            raise StateError(f"container {self.id}: cannot read {name}: {why}") from None
        try:
            data: Any = parse_object(raw, f"state of {self.id}", names=True)
        except SpecError as error:
            raise DamagedStateError(self.id, str(error)) from None
        if data.pop(CHECKSUM, None) is None:
            from ociruntime.state.unsealed import check_unsealed

            try:
                check_unsealed(data)
            except ValueError as error:
                raise DamagedStateError(self.id, str(error)) from None
        elif not is_sealed(self.id, raw):
            raise DamagedStateError(self.id, "somebody has changed it")
        self.data = data

    def ready(self, seconds: float | None, *, insist: bool = False) -> Container:
        """Lock (within ``seconds``, unless None) and load this container; closed on failure."""
        try:
            if seconds is not None:
                self.lock(seconds, insist=insist)
            self.load()
        except BaseException:
            self.close()
            raise
        return self

    def config(self) -> Config:
        """The configuration as it was at create, the same each time: nobody changes it. Raises
        ``DamagedStateError``, or ``NotFound`` where the container is deleted at this moment.
        """
        if self._config is not None:
            return self._config
        try:
            raw = self.read(CONFIG)
        except FileNotFoundError:
            if os.fstat(self.fd).st_nlink == 0 or STATE not in os.listdir(self.fd):
                raise NotFound(self.id) from None
            raise DamagedStateError(self.id, "its stored config.json is missing") from None
        if self.data.get("config_checksum", crc32(raw)) != crc32(raw):
            raise DamagedStateError(self.id, "somebody has changed its stored config.json")
        try:
            self._config = parse_settings(raw, f"stored configuration of {self.id}")
        except SpecError as error:
            raise DamagedStateError(self.id, str(error)) from None
        return self._config

    def store_config(self, content: bytes) -> None:
        """Write the configuration, which ``data`` knows from now on; ``save`` follows."""
        self.data["config_checksum"] = crc32(content)
        self.write(CONFIG, content)

    def has_socket(self) -> bool:
        """Whether start.sock is still there."""
        try:
            os.stat(SOCKET, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def remove_socket(self) -> None:
        """Take start.sock away: ``start`` has done its work."""
        try:
            os.unlink(SOCKET, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def remove(self) -> None:
        """Remove the directory; the id is free again. One that is gone stays so: another container
        may have its name.
        """
        if os.fstat(self.fd).st_nlink == 0:
            return
        for name in FILES:
            self._unlink(name)
        where = os.path.join(self.store.root, self.id)
        try:
            try:
                os.rmdir(where)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                from ociruntime.state.notify import remove_directory

                self._unlink(UNWANTED)
                remove_directory(self.fd)
                os.rmdir(where)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StateError(f"{where}: {error.strerror}; remove what is in it by hand") from None

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def why_unwanted(self) -> str:
        """That a ``delete --force`` waits for the lock, which is ours; "" when none does."""
        try:
            os.stat(UNWANTED, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return ""
        return DELETED

    def lock(self, seconds: float = LOCK_SECONDS, *, insist: bool = False) -> None:
        """Wait at most ``seconds`` until no other command changes this container; with ``insist``
        who does so is told that it is unwanted.

        Raises ``NotFound`` when it was deleted meanwhile, ``StateError`` when the time is up.
        """
        deadline = time.monotonic() + seconds
        told = False
        while True:
            try:
                flock(self.fd, LOCK_EX | LOCK_NB)
                break
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK:
                    raise OciError(f"cannot lock container {self.id}: {error.strerror}") from None
            if insist and not told:
                told = True
                self._insist()
            if time.monotonic() > deadline:
                from ociruntime.state.busy import holder

                if told:
                    self._unlink(UNWANTED)
                raise StateError(
                    f"container {self.id} is busy: {holder(self.fd)} has been at work on it for "
                    f"{seconds:g} s; wait for it, or end it and use `delete --force`"
                )
            time.sleep(0.005)
        if os.fstat(self.fd).st_nlink == 0:
            raise NotFound(self.id)

    def _insist(self) -> None:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            os.close(os.open(UNWANTED, flags, 0o600, dir_fd=self.fd))
        except OSError:
            pass  # there is no room, or it has gone: the lock will tell

    def unlock(self) -> None:
        """Let other commands change the container."""
        flock(self.fd, LOCK_UN)

    def close(self) -> None:
        """Let go of the directory and its lock."""
        os.close(self.fd)


def seal(container_id: str, text: str) -> bytes:
    """The JSON object ``text`` with its checksum as the last member."""
    raw = os.fsencode(text)[:-1]
    return raw + _seal_of(container_id, raw)


def is_sealed(container_id: str, raw: bytes) -> bool:
    """Whether ``raw`` is what ``seal`` made for this container."""
    return raw[-SEAL_LENGTH:] == _seal_of(container_id, raw[:-SEAL_LENGTH])


def _seal_of(container_id: str, raw: bytes) -> bytes:
    return b',"%s":"%08x"}' % (CHECKSUM.encode(), crc32(raw, crc32(container_id.encode())))


class Store:
    """All containers under ``root``, an absolute path that is made when the first container is."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = root

    def claim(self, container_id: str) -> Container:
        """Make the directory of a new container, locked. Raises ``AlreadyExists``."""
        path = os.path.join(self.root, container_id)
        try:
            self._mkdir(path)
        except FileExistsError:
            if os.path.isdir(path):
                raise AlreadyExists(container_id) from None
            raise StateError(f"--root {self.root}: not a directory") from None
        except OSError as error:
            raise StateError(
                f"--root {self.root}: {error.strerror}; name a directory that you may "
                "write with --root"
            ) from None
        container = self._open(container_id)
        container.lock()
        return container

    def open(self, container_id: str) -> Container:
        """An existing container, loaded but not locked. Raises ``NotFound``."""
        container = self._open(container_id)
        return container.ready(None)

    def open_locked(self, container_id: str, seconds: float = LOCK_SECONDS) -> Container:
        """An existing container, loaded and locked. Raises ``NotFound``, ``StateError`` when it
        stays locked.
        """
        container = self._open(container_id)
        return container.ready(seconds)

    def open_damaged(self, container_id: str) -> Container:
        """A container whose state cannot be read, locked and without ``data``. Raises as
        ``open_locked``.
        """
        container = self._open(container_id)
        try:
            container.lock(insist=True)
        except BaseException:
            container.close()
            raise
        return container

    def ids(self) -> list[str]:
        """The ids of all containers, sorted."""
        try:
            with os.scandir(self.root) as entries:
                found = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
                # No id starts with a dot; .seccomp is the cache of compiled filters.
                return sorted(name for name in found if not name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StateError(
                f"--root {self.root}: {error.strerror}; name a directory that you may "
                "read with --root"
            ) from None

    def _mkdir(self, path: str) -> None:
        try:
            os.mkdir(path, DIRECTORY_MODE)
        except FileNotFoundError:
            os.makedirs(self.root, DIRECTORY_MODE)
            os.mkdir(path, DIRECTORY_MODE)

    def _open(self, container_id: str) -> Container:
        path = os.path.join(self.root, container_id)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return Container(self, container_id, os.open(path, flags))
        except FileNotFoundError:
            raise NotFound(container_id) from None
        except OSError as error:
            raise StateError(f"{path}: {error.strerror}") from None

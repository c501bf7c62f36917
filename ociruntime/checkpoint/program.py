"""Finding CRIU, starting it and talking to it.

`criu swrk N` serves one request on the SEQPACKET socket N (criu.org/RPC). While it works it tells
what it is about to do (notifications), and waits for an answer to each. When our end of the socket
closes it takes back what it did: so it is never killed while it has processes in its hands, and a
runtime that is killed leaves the container as it was.

There is no limit to how long that takes: memory may be large, or go to another machine. What ends
the wait for CRIU beside its own end is that somebody holds it up (``process.patience``), and that
nobody needs its work any more.
"""

from __future__ import annotations

import time
from _socket import (
    AF_UNIX,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)

from ociruntime import hostos as os
from ociruntime.checkpoint import messages as m
from ociruntime.errors import OciError
from ociruntime.kernel import _sys
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import reset
from ociruntime.kernel.sockets import receive, rights
from ociruntime.process.hookguard import GRACE_SECONDS
from ociruntime.process.patience import Patience, set_look
from ociruntime.protobuf import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from ociruntime.spec.documents import Config

# Where it is looked for behind the caller's PATH: engines give a short one.
DIRECTORIES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The oldest one that restores mounts by descriptor, external pid namespaces and LSM profiles.
OLDEST = (3, 16, 0)
# The first that writes no_new_privs into the images, and restores it.
KEEPS_NO_NEW_PRIVS = (3, 18, 0)
# Longer messages are no answers.
LONGEST = 1 << 16
# The socket, and what is handed on behind it.
SOCKET_FD = 3
FIRST_FD = 4
# What its process says before it is CRIU; no message of CRIU begins like that.
READY, FAILED = b"\0", b"\0!"
# How long it gets to take back what it did when we have failed, and to obey SIGKILL.
ENDING_SECONDS, DEATH_SECONDS = 10.0, 10.0
# How long it may take to say what it is and can do; a loaded machine is slow.
QUESTION_SECONDS = 60.0
SIGKILL = 9
# An answer of waitid(2).
EXITED = 1
# Below --root; no container's id begins with a dot.
NOTE = ".criu-version"
CURE = "install CRIU (criu.org), or name it by --criu"


class CriuError(OciError):
    """CRIU is missing, too old, or has refused."""


def find(given: str | None) -> str:
    """The path of CRIU: ``given`` (--criu), or the one in PATH; raises ``CriuError``."""
    if given is not None and "/" in given:
        if os.access(given, os.X_OK):
            return os.path.abspath(given)
        raise CriuError(f"--criu {given}: there is no such program; {CURE}")
    name = given or "criu"
    for directory in search_path().split(":"):
        path = f"{directory}/{name}"
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    raise CriuError(f"checkpoint and restore need CRIU, and there is no program {name}; {CURE}")


def search_path() -> str:
    """The caller's PATH and where programs for root are."""
    given = os.getenv("PATH")
    return f"{given}:{DIRECTORIES}" if given else DIRECTORIES


class Criu:
    """One program, and what it has said about itself."""

    __slots__ = ("path", "version")

    def __init__(self, path: str, root: str = "") -> None:
        """Ask ``path`` for its version, or the note of an earlier answer in the directory ``root``
        (--root): starting it takes as long as all else that we do. Raises ``CriuError`` for one
        that does not run, or is too old.
        """
        self.path = path
        found = noted_version(path, root)
        self.version = found or self._ask_version()
        if root and found is None:
            note_version(path, root, self.version)
        if self.version < OLDEST:
            raise CriuError(
                f"{path} is CRIU {text_of(self.version)}, which is too old; "
                f"{text_of(OLDEST)} or a newer one is needed"
            )

    def require(self, **wanted: bool) -> None:
        """Raise ``CriuError`` unless CRIU and the kernel have these features (``mem_track``,
        ``lazy_pages``).
        """
        request = {"type": m.FEATURE_CHECK, "features": wanted}
        found = self._ask(request)["features"] or {}
        missing = [name.replace("_", "-") for name in wanted if not found.get(name)]
        if missing:
            raise CriuError(
                f"{self.path} (CRIU {text_of(self.version)}) cannot do {', '.join(missing)} on "
                "this kernel; `criu check --all` tells why"
            )

    def require_kept(self, config: Config) -> None:
        """Raise ``CriuError`` for a container whose processes would have more rights when they are
        restored.
        """
        process = config.get("process") or {}
        if process.get("noNewPrivileges") and self.version < KEEPS_NO_NEW_PRIVS:
            raise CriuError(
                f"{self.path} is CRIU {text_of(self.version)}, which does not keep no_new_privs, "
                "and process.noNewPrivileges is set; "
                f"{text_of(KEEPS_NO_NEW_PRIVS)} or a newer one is needed"
            )

    def _ask_version(self) -> tuple[int, int, int]:
        version = self._ask({"type": m.VERSION})["version"]
        if version is None:
            raise CriuError(f"{self.path} does not tell its version: is it CRIU? {CURE}")
        return version["major"], version["minor"], version["sublevel"]

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + QUESTION_SECONDS

        def over() -> str:
            if time.monotonic() < deadline:
                return ""
            return f"{self.path} has not answered within {QUESTION_SECONDS:g} s: is it CRIU? {CURE}"

        conversation = Conversation(self.path, over=over)
        try:
            conversation.send(request)
            answer, _ = conversation.receive()
        finally:
            conversation.end()
        if not answer["success"]:
            raise CriuError(f"{self.path} does not work here; `criu check` tells why")
        return answer


def _mark(path: str) -> str:
    """What of a program changes when it does."""
    found = os.stat(path)
    return f"{path} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def noted_version(path: str, root: str) -> tuple[int, int, int] | None:
    """What ``note_version`` has noted for the program as it is now."""
    try:
        fd = os.open(f"{root}/{NOTE}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        mark, _, text = os.fsdecode(os.read(fd, LONGEST)).partition("\n")
        numbers = text.strip().split(".")
        if mark != _mark(path) or len(numbers) != 3:
            return None
        return int(numbers[0]), int(numbers[1]), int(numbers[2])
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)


def note_version(path: str, root: str, version: tuple[int, int, int]) -> None:
    """Note it; where that cannot be, it is asked for again."""
    temporary = f"{root}/{NOTE}-{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(temporary, flags, 0o600)
        try:
            os.write(fd, os.fsencode(f"{_mark(path)}\n{'.'.join(map(str, version))}\n"))
        finally:
            os.close(fd)
        os.rename(temporary, f"{root}/{NOTE}")
    except OSError:
        pass


def text_of(version: tuple[int, int, int]) -> str:
    """``4.2.1`` or ``4.2``."""
    return ".".join(map(str, version if version[2] else version[:2]))


class Conversation:
    """A CRIU that has been started, and the socket to it."""

    __slots__ = ("_over", "_path", "_patience", "_socket", "pid")

    def __init__(
        self,
        path: str,
        handed: Sequence[int] = (),
        before: Callable[[], list[int]] | None = None,
        clone: Callable[[], int] = os.fork,
        over: Callable[[], str] = lambda: "",
    ) -> None:
        """Start it.

        Parameters: ``handed`` are descriptors that it gets as FIRST_FD and following; ``before`` is
        called in its process first, what it raises is our ``CriuError``, and the descriptors that
        it returns come before ``handed``; ``clone`` makes that process as fork(2) does; ``over``
        tells why nobody needs its answers any more, "" while somebody does.

        CRIU finds the directories of a request among the descriptors of who has made the socket:
        with ``before`` that is itself, and without us.
        """
        self._path = path
        self._over = over
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
        try:
            self.pid = clone()
            if self.pid == 0:
                ours.close()
                _become(path, theirs, handed, before)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._patience = Patience(self.pid, "CRIU")
        self._socket = ours
        set_look(ours)
        if before is not None:
            try:
                self._hear_of_start()
            except BaseException:
                self.end()
                raise

    def _hear_of_start(self) -> None:
        said, fds = self._receive()
        if said != READY or not fds:
            words = said.removeprefix(FAILED).decode("utf-8", "replace")
            raise CriuError(words or f"{self._path} has not started")
        self._socket.close()
        self._socket = socket(AF_UNIX, SOCK_SEQPACKET, 0, fds[0])
        set_look(self._socket)

    def _receive(self) -> tuple[bytes, list[int]]:
        """The next message and its descriptors; an empty one when there will be none. Raises
        ``HeldError``, or ``OciError`` with the reason why nobody needs it any more.
        """
        there = True
        while True:
            try:
                return receive(self._socket, LONGEST)
            except ConnectionResetError:
                return b"", []
            except BlockingIOError:
                if not there:
                    return b"", []  # what it has started keeps the socket
                if why := self._over():
                    raise OciError(why) from None
                there = self._patience.look()
                continue

    def send(self, request: dict[str, Any]) -> None:
        """Say something; whoever does not listen any more is found out by ``receive``."""
        try:
            self._socket.send(m.REQUEST.encode(request))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def acknowledge(self) -> None:
        """Answer a notification: go on."""
        self.send({"type": m.NOTIFY, "notify_success": True})

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next answer or notification, and the descriptors that came with it; raises
        ``CriuError`` when there is none, ``OciError`` when it is not waited for any longer.
        """
        data, fds = self._receive()
        if data.startswith(FAILED):
            raise CriuError(data.removeprefix(FAILED).decode("utf-8", "replace"))
        if not data:
            raise CriuError(f"{self._path} ended without an answer; {self._how()}")
        try:
            return m.RESPONSE.decode(data), fds
        except WireError as error:
            raise CriuError(f"{self._path} answers what is no answer: {error}") from None

    def leave(self) -> None:
        """In a copy of this process: CRIU sees when the other one ends."""
        self._socket.close()

    def end(self) -> None:
        """Close the socket, and wait for its end; raises ``CriuError`` when it survives SIGKILL."""
        self._socket.close()
        if self.pid:
            self._reap()

    def _reap(self) -> tuple[int, int]:
        """How it ended (waitid(2)'s code and status), killed if it does not by itself."""
        kernel = Kernel()
        pid, self.pid = self.pid, 0
        pidfd = kernel.pidfd_open(pid)  # our own unreaped child
        try:
            # Who deletes the container waits for its lock meanwhile.
            if not kernel.ends_within(pidfd, GRACE_SECONDS if self._over() else ENDING_SECONDS):
                kernel.pidfd_send_signal(pidfd, SIGKILL)
                if not kernel.ends_within(pidfd, DEATH_SECONDS):
                    raise CriuError(
                        f"CRIU (process {pid}) did not die of SIGKILL within {DEATH_SECONDS:g} s; "
                        "it hangs in the kernel, or something holds it up"
                    )
            return kernel.wait_pidfd(pidfd)
        finally:
            kernel.close(pidfd)

    def _how(self) -> str:
        """How it ended."""
        if not self.pid:
            return "it had been stopped"
        code, status = self._reap()
        how = f"exit status {status}" if code == EXITED else f"signal {status}"
        return f"{how}; `criu check` tells whether it works on this kernel"


def _become(
    path: str, theirs: socket, handed: Sequence[int], before: Callable[[], list[int]] | None
) -> NoReturn:
    """The child between fork and exec."""
    try:
        kernel = Kernel()
        reset(kernel)
        connection = theirs.fileno()
        if before is not None:
            handed = [*before(), *handed]
            ours, own = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)
            theirs.sendmsg([READY], rights([ours.fileno()]))
            ours.close()
            connection = own.fileno()
        # Whatever has a low number moves up first: nothing may be overwritten by its neighbour.
        above = FIRST_FD + len(handed) + 64
        moved = [kernel.dup_above(fd, above) for fd in (connection, *handed)]
        for number, fd in enumerate(moved, SOCKET_FD):
            kernel.dup3(fd, number)
        kernel.close_from(FIRST_FD + len(handed))
        # It executes ip, iptables and tar, and an engine's PATH may be short.
        variables = {**os.environ, b"PATH": os.fsencode(search_path())}
        environment = [name + b"=" + value for name, value in variables.items()]
        words = [os.fsencode(path), b"swrk", str(SOCKET_FD).encode()]
        number = -_sys.execve(words[0], words, environment)
        _complain(SOCKET_FD, f"{path}: {os.strerror(number).lower()}")
    except OciError as error:
        _complain(theirs.fileno(), str(error))
    except OSError as error:
        _complain(theirs.fileno(), f"{path}: {(error.strerror or '').lower()}")
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process ends here
        _complain(theirs.fileno(), f"{path}: {type(error).__name__}: {error}")
    os._exit(127)


def _complain(connection: int, text: str) -> None:
    try:
        os.write(connection, FAILED + text.encode("utf-8", "replace")[:2048])
    except OSError:
        pass

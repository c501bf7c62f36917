"""Runs one hook program: state on stdin, a timeout, and what it said in the error.

A program of the host runs in the bundle's directory, with the umask of the runtime's caller, no
descriptors but its three, and the environment of the hook's ``env``, or of the caller without one:
never process.env, for an image must not choose what a host program loads (CVE-2025-23266).
"""

from __future__ import annotations

import errno
import time
from posix import environ
from select import POLLHUP, POLLIN, POLLOUT, poll

from ociruntime import hostos as os
from ociruntime.errors import HookError
from ociruntime.jsontext import to_bytes
from ociruntime.kernel import _sys
from ociruntime.kernel import program as p
from ociruntime.kernel.constants import SIGKILL
from ociruntime.kernel.inside import Answer
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.program import strings
from ociruntime.kernel.signals import reset
from ociruntime.process import patience
from ociruntime.process.hookoutput import NONE, close_outputs, open_outputs
from ociruntime.state.document import state_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from ociruntime.kernel.inside import Inside
    from ociruntime.process.hookguard import HookGuard
    from ociruntime.spec.documents import Config, HookConfig
    from ociruntime.state.store import Container

# How much of a hook's output is kept for the error message (bytes).
TAIL = 2048
KEPT = 3
LAST_FD = 0x7FFFFFFF
# How long a hook may take to obey SIGKILL before we look what keeps it, and after that.
PROMPT_SECONDS, DEATH_SECONDS = 0.2, 10.0
TIMED_OUT = "timeout"
# An answer of waitid(2).
EXITED = 1
# The umask that this process has.
SAME_UMASK = -1


def run_hook(
    label: str,
    hook: HookConfig,
    container: Container,
    status: str,
    pid: int,
    umask: int = SAME_UMASK,
    guard: HookGuard | None = None,
    inner: Inside | None = None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Run ``hook`` (an entry of config.json's hooks), a program of the host, and wait for its end.

    Parameters: ``status`` and ``pid`` go into the state document; ``umask`` is the caller's;
    ``guard`` is what else can end the wait. With ``inner`` the hook is oci-setup's, and dies with
    it; ``owner`` is the host's uid and gid of its user. Raises ``HookError`` with exit status or
    signal, duration and the last lines of its output, which is kept unless the container's
    annotations name files for it.
    """
    document = to_bytes(state_document(container, status, pid))
    directory = container.data["bundle"]
    outputs = open_outputs(container.data.get("annotations"))
    try:
        if inner is None:
            execute_hook(label, hook, document, directory, outputs, umask, guard)
        else:
            hearing = Hearing(label, hook, document)
            if owner is not None:
                hearing.give(*owner)
            streams = hearing.streams(outputs)
            _start_inside(label, hook, hearing, directory, streams, umask, inner)
            hearing.attend_inside(inner, guard)
    finally:
        close_outputs(outputs)


def _start_inside(
    label: str,
    hook: HookConfig,
    hearing: Hearing,
    directory: str,
    streams: tuple[int, int, int],
    umask: int,
    inner: Inside,
) -> None:
    """Have oci-setup execute the hook, and wait for it."""
    started = Answer()
    inner.queue(
        p.HOOK,
        os.fsencode(hook["path"]),
        *strings(_arguments(hook)),
        *strings(_environment(hook)),
        os.fsencode(directory),
        umask,
        answer=started,
    )
    try:
        inner.send(streams)
        inner.receive(alone=True)
    except OSError as error:
        hearing.close()
        raise _not_run(label, error.errno or 0) from None
    timeout = hook.get("timeout")
    limit = int(timeout * 1000) if timeout else -1
    inner.queue(p.WAIT, started.value, limit, answer=hearing.ended)
    inner.send()


def _not_run(label: str, number: int) -> HookError:
    hint = "; hooks are programs of the host" if number == errno.ENOENT else ""
    return HookError(f"{label}: cannot be run: {os.strerror(number).lower()}{hint}")


def hooks_of(config: Config, phase: str) -> list[HookConfig]:
    """The hooks of one phase, in their order."""
    hooks: Mapping[str, Any] = config.get("hooks") or {}
    found: list[HookConfig] = hooks.get(phase) or []
    return found


def execute_hook(
    label: str,
    hook: HookConfig,
    document: bytes,
    directory: str,
    outputs: tuple[int, int] = NONE,
    umask: int = SAME_UMASK,
    guard: HookGuard | None = None,
) -> None:
    """As ``run_hook``, with the state ``document`` as JSON text, in ``directory``."""
    hearing = Hearing(label, hook, document)
    failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(hook, directory, umask, hearing.streams(outputs), failed_write)
    os.close(failed_write)
    number = int.from_bytes(os.read(failed_read, 4), "little")
    os.close(failed_read)
    if number:
        hearing.close()
        os.waitpid(pid, 0)
        raise _not_run(label, number)
    hearing.attend(pid, guard)


def _child(
    hook: HookConfig, directory: str, umask: int, streams: tuple[int, int, int], failed: int
) -> NoReturn:
    """The hook's process between fork and exec: no import, no path of ours."""
    number = errno.EINVAL
    try:
        reset(Kernel())
        if umask != SAME_UMASK:
            os.umask(umask)
        _enter(directory)
        for target, fd in enumerate(streams):
            os.dup2(fd, target)
        # Descriptors that the caller leaked into us are not the hook's.
        os.dup2(failed, KEPT, inheritable=False)
        failed = KEPT
        os.closerange(KEPT + 1, LAST_FD)
        path = os.fsencode(hook["path"])
        number = -_sys.execve(path, _arguments(hook), _environment(hook))
    except OSError as error:
        number = error.errno or errno.EINVAL
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as ours
        number = errno.EINVAL
    os.write(failed, number.to_bytes(4, "little"))
    os._exit(127)


def _enter(directory: str) -> None:
    """The bundle; a poststop hook is owed after an engine has removed that, too."""
    try:
        os.chdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        os.chdir("/")


def _arguments(hook: HookConfig) -> list[bytes]:
    return [os.fsencode(word) for word in hook.get("args") or [hook["path"]]]


def _environment(hook: HookConfig) -> list[bytes]:
    """The hook's own, of two entries with one name the last; without ``env`` the caller's."""
    env = hook.get("env")
    if env is None:
        return [name + b"=" + value for name, value in environ.items()]
    return [os.fsencode(entry) for entry in {e.partition("=")[0]: e for e in env}.values()]


class Hearing:
    """What is between a hook and us: the state on its standard input, its output, its timeout,
    which begins now.
    """

    __slots__ = ("_document", "_label", "_pipes", "_started", "_timeout", "ended")

    def __init__(self, label: str, hook: HookConfig, document: bytes) -> None:
        self._label = label
        self._timeout: float | None = hook.get("timeout")
        self._document = document
        self._started = time.monotonic()
        # Of a hook in the container: its wait status.
        self.ended = Answer()
        # its input, ours to it; ours of its output, its output
        self._pipes = [*os.pipe2(os.O_CLOEXEC), *os.pipe2(os.O_CLOEXEC)]

    def streams(self, outputs: tuple[int, int] = NONE) -> tuple[int, int, int]:
        """What becomes the hook's descriptors 0 to 2; ``outputs`` are the files of the
        annotations.
        """
        theirs, _, _, output = self._pipes
        stdout, stderr = (fd if fd >= 0 else output for fd in outputs)
        return theirs, stdout, stderr

    def give(self, uid: int, gid: int) -> None:
        """Let the hook's user open its streams anew by name, as /dev/stdin."""
        theirs, _, _, output = self._pipes
        for fd in (theirs, output):
            try:
                os.fchown(fd, uid, gid)
            except PermissionError:
                return  # an ordinary user's: they are his own

    def close(self) -> None:
        """There is no hook to hear."""
        for fd in self._pipes:
            os.close(fd)

    def attend(self, pid: int, guard: HookGuard | None = None) -> None:
        """Feed and hear the hook, our child ``pid``, until it ends; raises ``HookError`` unless
        that was good. ``guard`` is what can end it beside its timeout.
        """
        theirs, stdin, output, theirs_too = self._pipes
        os.close(theirs)
        os.close(theirs_too)
        deadline = self._started + self._timeout if self._timeout else None
        pidfd = os.pidfd_open(pid)
        try:
            tail, why = _converse(pid, pidfd, self._document, stdin, output, deadline, guard)
            if why == TIMED_OUT:
                why = f"did not end within its timeout of {self._timeout} s"
            if why:
                why += _end(pid, pidfd, guard)
            else:
                code, status = Kernel().wait_pidfd(pidfd)
        finally:
            os.close(output)
            os.close(pidfd)
        if why:
            raise HookError(f"{self._label}: {why}{_said(tail)}")
        self._judge(code == EXITED, status, tail)

    def attend_inside(self, inner: Inside, guard: HookGuard | None) -> None:
        """The same for a hook of oci-setup's, which waits for it."""
        theirs, stdin, output, theirs_too = self._pipes
        os.close(theirs)
        os.close(theirs_too)
        ended = inner.channel.fileno()
        try:
            tail, why = _converse(0, ended, self._document, stdin, output, None, guard)
        finally:
            os.close(output)
        if not why:
            inner.receive()
            if self.ended.value & p.TIME_IS_OVER:
                why = f"did not end within its timeout of {self._timeout} s"
        if why:
            raise HookError(f"{self._label}: {why}{_said(tail)}")
        code = os.waitstatus_to_exitcode(self.ended.value)
        self._judge(code >= 0, abs(code), tail)

    def _judge(self, exited: bool, status: int, tail: bytes) -> None:  # noqa: FBT001
        if exited and not status:
            return
        how = f"exited with status {status}" if exited else f"was killed by signal {status}"
        took = f"after {time.monotonic() - self._started:.3f} s"
        raise HookError(f"{self._label}: {how} {took}{_said(tail)}")


def _converse(
    pid: int,
    pidfd: int,
    document: bytes,
    stdin: int,
    output: int,
    deadline: float | None,
    guard: HookGuard | None,
) -> tuple[bytes, str]:
    """Feed the document, collect the output's tail, until the hook ends: (tail, "" or why it has to
    be ended).

    Closes ``stdin`` as soon as the document has been written, so that the hook sees its end.
    """
    os.set_blocking(stdin, False)
    os.set_blocking(output, False)
    poller = poll()
    poller.register(pidfd, POLLIN)
    poller.register(output, POLLIN)
    poller.register(stdin, POLLOUT)
    tail = b""
    feeding = True
    next_look = None if guard is None else time.monotonic() + patience.LOOK_SECONDS
    try:
        while True:
            # Looked at each time: one that never stops talking has a timeout, too.
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return tail, TIMED_OUT
            if guard is not None and next_look is not None and now >= next_look:
                try:
                    why = guard.look(pid)
                except patience.HeldError as error:
                    why = str(error)
                if why:
                    return tail, why
                next_look = now + patience.LOOK_SECONDS
            moments = [moment for moment in (deadline, next_look) if moment is not None]
            wait = max(0.0, min(moments) - now) * 1000 if moments else None
            events = dict(poller.poll(wait))
            if feeding and stdin in events:
                document = _feed(stdin, document, events[stdin])
                if not document:
                    poller.unregister(stdin)
                    os.close(stdin)
                    feeding = False
            if output in events:
                part = _read(output)
                tail = (tail + part)[-TAIL:]
                if not part and events[output] & POLLHUP:
                    poller.unregister(output)
            if pidfd in events:
                # A grandchild may keep the pipe open; what the hook itself wrote is there already.
                return (tail + _read(output))[-TAIL:], ""
    finally:
        if feeding:
            os.close(stdin)


def _end(pid: int, pidfd: int, guard: HookGuard | None) -> str:
    """Kill and reap the hook; what is left to be said if it does not die."""
    os.kill(pid, SIGKILL)  # our unreaped child
    kernel = Kernel()
    if not kernel.ends_within(pidfd, PROMPT_SECONDS):
        if guard is not None:
            guard.let_die(pid)
        if not kernel.ends_within(pidfd, DEATH_SECONDS):
            return f"; it (process {pid}) did not die of SIGKILL within {DEATH_SECONDS:g} s"
    kernel.wait_pidfd(pidfd)
    return ""


def _feed(stdin: int, document: bytes, event: int) -> bytes:
    """What is left of ``document`` after a write; nothing when the hook does not read it."""
    if not event & POLLOUT:
        return b""
    try:
        return document[os.write(stdin, document) :]
    except BlockingIOError:
        return document
    except BrokenPipeError:
        return b""


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def _said(tail: bytes) -> str:
    text = " | ".join(tail.decode("utf-8", "replace").strip().splitlines()[-5:])
    return f"; it said: {text}" if text else "; it said nothing"

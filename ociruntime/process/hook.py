"""Runs one hook program: state on stdin, a clean environment, a timeout, and what it said in the
error.

A hook without ``env`` gets an empty environment and no descriptors but its three (CVE-2025-23266:
an image must not choose what a host program loads).
"""

from __future__ import annotations

import errno
import time
from select import POLLHUP, POLLIN, POLLOUT, poll

from ociruntime import hostos as os
from ociruntime.errors import HookError
from ociruntime.jsontext import dumps
from ociruntime.kernel.kernel import Kernel
from ociruntime.kernel.signals import reset
from ociruntime.process.hookoutput import NONE, close_outputs, open_outputs
from ociruntime.state.document import state_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from ociruntime.state.store import Container

# How much of a hook's output is kept for the error message (bytes).
TAIL = 2048
SIGKILL = 9
KEPT = 3
LAST_FD = 0x7FFFFFFF


def run_hook(
    label: str,
    hook: dict[str, Any],
    container: Container,
    status: str,
    pid: int,
    outputs: tuple[int, int] | None = None,
) -> None:
    """Run ``hook`` (an entry of config.json's hooks) and wait for its end.

    Parameters: ``status`` and ``pid`` go into the state document; ``outputs`` as
    ``process.hookoutput`` has them, None to open what the container's annotations name. Raises
    ``HookError`` with exit status or signal, duration and the last lines of its output.
    """
    document = dumps(state_document(container, status, pid)).encode()
    if outputs is not None:
        execute_hook(label, hook, document, outputs)
        return
    outputs = open_outputs(container.data.get("annotations"))
    try:
        execute_hook(label, hook, document, outputs)
    finally:
        close_outputs(outputs)


def execute_hook(
    label: str, hook: dict[str, Any], document: bytes, outputs: tuple[int, int] = NONE
) -> None:
    """As ``run_hook``, with the state ``document`` as JSON text."""
    started = time.monotonic()
    timeout = hook.get("timeout")
    deadline = started + timeout if timeout else None
    stdin_read, stdin_write = os.pipe2(os.O_CLOEXEC)
    output_read, output_write = os.pipe2(os.O_CLOEXEC)
    failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        stdout, stderr = (fd if fd >= 0 else output_write for fd in outputs)
        _child(hook, stdin_read, stdout, stderr, failed_write)
    for fd in (stdin_read, output_write, failed_write):
        os.close(fd)
    number = int.from_bytes(os.read(failed_read, 4), "little")
    os.close(failed_read)
    tail, timed_out = b"", False
    if number:
        os.close(stdin_write)
    else:
        tail, timed_out = _converse(pid, document, stdin_write, output_read, deadline)
    os.close(output_read)
    _, result = os.waitpid(pid, 0)
    if number:
        hint = "; hooks are programs of the host" if number == errno.ENOENT else ""
        raise HookError(f"{label}: cannot be run: {os.strerror(number).lower()}{hint}")
    if timed_out:
        raise HookError(f"{label}: did not end within its timeout of {timeout} s{_said(tail)}")
    code = os.waitstatus_to_exitcode(result)
    if code:
        how = f"exited with status {code}" if code > 0 else f"was killed by signal {-code}"
        took = f"after {time.monotonic() - started:.3f} s"
        raise HookError(f"{label}: {how} {took}{_said(tail)}")


def _child(hook: dict[str, Any], stdin: int, stdout: int, stderr: int, failed: int) -> NoReturn:
    """The hook's process between fork and exec: no import, no path of ours."""
    number = errno.EINVAL
    try:
        reset(Kernel())
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        # Descriptors that the caller leaked into us are not the hook's.
        os.dup2(failed, KEPT, inheritable=False)
        failed = KEPT
        os.closerange(KEPT + 1, LAST_FD)
        environment = {}
        for entry in hook.get("env", ()):
            name, _, value = entry.partition("=")
            environment[name] = value
        os.execve(hook["path"], hook.get("args") or [hook["path"]], environment)
    except OSError as error:
        number = error.errno or errno.EINVAL
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as ours
        number = errno.EINVAL
    os.write(failed, number.to_bytes(4, "little"))
    os._exit(127)


def _converse(
    pid: int, document: bytes, stdin: int, output: int, deadline: float | None
) -> tuple[bytes, bool]:
    """Feed the document, collect the output's tail, until the hook ends: (tail, whether time ran
    out).

    Closes ``stdin`` as soon as the document has been written, so that the hook sees its end.
    """
    os.set_blocking(stdin, False)
    os.set_blocking(output, False)
    pidfd = os.pidfd_open(pid)
    poller = poll()
    poller.register(pidfd, POLLIN)
    poller.register(output, POLLIN)
    poller.register(stdin, POLLOUT)
    tail = b""
    feeding = True
    try:
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            events = dict(poller.poll(wait))
            if not events:
                os.kill(pid, SIGKILL)
                return tail, True
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
                return (tail + _read(output))[-TAIL:], False
    finally:
        os.close(pidfd)
        if feeding:
            os.close(stdin)


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

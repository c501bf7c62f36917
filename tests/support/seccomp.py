"""Profiles, and an agent for notifications."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.patience import PATIENCE

# linux/seccomp.h: struct seccomp_notif and seccomp_notif_resp, and the ioctls with their sizes.
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1


def corpus() -> Path:
    """Return the folder of configs that engines wrote; skips the test without it."""
    default = Path(__file__).resolve().parents[3] / "shared" / "oracle"
    place = Path(os.environ.get("OCIRUNTIME_ORACLE") or default) / "corpus"
    if not place.is_dir():
        pytest.skip(f"no configs of engines at {place} (set OCIRUNTIME_ORACLE)")
    return place


def rule(names: str, action: str = "ALLOW", **properties: Any) -> dict[str, Any]:
    """Return one element of syscalls; `names` are separated by blanks."""
    return {"names": names.split(), "action": f"SCMP_ACT_{action}", **properties}


def condition(index: int, operator: str, value: int, second: int = 0) -> dict[str, Any]:
    """Return one element of args."""
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}


def profile(default: str, *rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return linux.seccomp."""
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **properties}


# What a static program, the shell and oci-init need, as names: enough to run in a default of ERRNO.
BASIC = (
    "access arch_prctl brk capset chdir clone clone3 close dup dup2 dup3 execve exit exit_group "
    "faccessat fcntl fork fstat futex getcwd getdents64 getegid geteuid getgid getpgrp getpid "
    "getppid getrandom getuid ioctl lseek mmap mprotect munmap nanosleep newfstatat "
    "clock_nanosleep open openat pipe pipe2 poll prctl prlimit64 read readlink readlinkat readv "
    "rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_yield sendmsg set_robust_list "
    "set_tid_address setpgid sigaltstack stat statx tgkill uname vfork wait4 waitid write writev"
)


def strict(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return a profile of the kind that engines write: all is EPERM but what is named."""
    return profile("ERRNO", rule(BASIC), *rules, **properties)


class Agent:
    """A seccomp agent on a socket at `path`; a context manager.

    Each connection's document goes to `documents`, the descriptors that came with its first message
    are counted in `counts`; every notification's (pid, number, args) goes to `seen` and is answered
    by `answer`: an errno, or 0 for "let the kernel do it".
    """

    def __init__(self, path: Path, answer: int) -> None:
        self.path = path
        self.answer = answer
        self.documents: list[Any] = []
        self.counts: list[int] = []
        self.first_messages: list[bytes] = []
        self.seen: list[tuple[int, int, tuple[int, ...]]] = []
        self._stopped = threading.Event()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen(8)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(PATIENCE)
                message, control, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(64))
                fds = array.array("i")
                for _, _, data in control:
                    fds.frombytes(data)
                # Before the first answer: whoever got that may look here.
                self.counts.append(len(fds))
                self.first_messages.append(message)
                for fd in fds:
                    thread = threading.Thread(target=self._serve, args=(fd,), daemon=True)
                    self._threads.append(thread)
                    thread.start()
                while more := connection.recv(1 << 16):
                    message += more
                self.documents.append(json.loads(message))

    def _serve(self, fd: int) -> None:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while not self._stopped.is_set():
            events = dict(poller.poll(100)).get(fd, 0)
            if events & select.POLLHUP:
                break
            if not events & select.POLLIN:
                continue
            buffer = bytearray(NOTIFICATION.size)
            try:
                fcntl.ioctl(fd, RECEIVE, buffer)
                fields = NOTIFICATION.unpack(buffer)
                self.seen.append((fields[1], fields[3], tuple(fields[6:])))
                flags = 0 if self.answer else CONTINUE
                response = RESPONSE.pack(fields[0], 0, -self.answer, flags)
                fcntl.ioctl(fd, SEND, bytearray(response))
            except FileNotFoundError:
                continue  # the process has ended meanwhile
        os.close(fd)

"""Who asks the runtime for something: a command line, a program with the library, containerd.

Each way carries out the same operations with the checkout's code, and stops where the test wants it
(points.py is the other side). An operation of it is an ``Operation``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ociruntime import api
from ociruntime.errors import NotFound, OciError
from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.service import METHODS
from tests.fault.points import NAME, SOCKET
from tests.support.engines.ttrpc import Refused, TaskClient
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.runtime import Runtime

DRIVER = Path(__file__).with_name("driver.py")
# The statuses of operations: of the driver, too.
DONE, FAILED, NO_ANSWER, NOT_STARTED = 0, 1, 2, 3
# Of ``at``: it stops nowhere.
NOWHERE = -1
MESSAGE = 1 << 16
SPEC_URL = "types.containerd.io/opencontainers/runtime-spec/1/Process"


class Way:
    """One way, with a process of its own that works for it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.sandbox = runtime.sandbox
        self.directory = runtime.sandbox.directory
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.directory / SOCKET))
        self.listener.listen(8)
        self.write({"verb": ""})

    def write(self, wanted: dict[str, Any]) -> None:
        """Say which operation is to stop where (points.py)."""
        (self.directory / NAME).write_text(json.dumps(wanted))

    def ask(self, verb: str, at: int, asked: dict[str, Any], patience: float | None) -> Operation:
        """Begin ``verb``, which stops at point ``at``."""
        first = "create" if verb == "run" else verb
        wanted: dict[str, Any] = {"verb": first, "at": at}
        if patience is not None:
            wanted["patience"] = patience
        self.write(wanted)
        asked = {**asked, "verb": verb, "root": str(self.runtime.root)}
        return Operation(verb, self.listener, self.begin(asked))

    def carry_out(self, verb: str, asked: dict[str, Any]) -> None:
        """Do ``verb`` undisturbed."""
        self.write({"verb": ""})
        status, said = self.begin({**asked, "verb": verb}).result()
        assert status == DONE, said

    def begin(self, asked: dict[str, Any]) -> Answer:
        """Have it done."""
        raise NotImplementedError

    def take_away(self, container: str) -> None:
        """Remove the container, as this way's callers do, whatever it is."""

    def spawn(self, fd: int, way: str) -> subprocess.Popen[bytes]:
        """The driver, with ``fd``; it is none of what an operation leaves."""
        process = subprocess.Popen(
            [sys.executable, str(DRIVER), way, str(self.directory), str(fd)],
            stdin=subprocess.DEVNULL,
            env=self.sandbox.environment(),
            pass_fds=(fd,),
        )
        self.sandbox.helpers.add(process.pid)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Nothing that works for a test outlives it, whatever has gone wrong."""
        process.kill()
        process.wait()
        self.listener.close()

    def close(self) -> None:
        """End what works for the test."""
        raise NotImplementedError


class Answer:
    """What an operation will have led to; ``fd`` is readable then."""

    def __init__(self, fd: int, read: Callable[[], tuple[int, str]]) -> None:
        self.fd = fd
        self._read = read
        self._result: tuple[int, str] | None = None

    def has_come(self, seconds: float) -> bool:
        """Whether there is a result, or will be within so many seconds."""
        return self._result is not None or bool(select.select([self.fd], [], [], seconds)[0])

    def result(self) -> tuple[int, str]:
        """The status, and what it said to its caller."""
        if self._result is None:
            self._result = self._read()
        return self._result


def in_a_thread(work: Callable[[], None]) -> Answer:
    """Do ``work``, whose error is the answer."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    found: list[tuple[int, str]] = []

    def run() -> None:
        try:
            work()
            found.append((DONE, ""))
        except NotStartedError as error:
            found.append((NOT_STARTED, str(error)))
        except (OciError, Refused) as error:
            found.append((FAILED, str(error)))
        except BaseException as error:
            found.append((NO_ANSWER, f"{type(error).__name__}: {error}"))
            raise
        finally:
            os.close(theirs)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def read() -> tuple[int, str]:
        thread.join()
        os.close(ours)
        return found[0]

    return Answer(ours, read)


class NotStartedError(Exception):
    """Of ``run``: only start has failed."""


class Operation:
    """One operation; the process that carries it out is killed at the end of the block, if it is
    a command's.
    """

    def __init__(self, verb: str, listener: socket.socket, answer: Answer) -> None:
        self.verb = verb
        self.pid = 0
        self.answer = answer
        self.link: socket.socket | None = None
        # It may fail before it comes so far that it asks where to stop.
        ready, _, _ = select.select([listener, answer.fd], [], [], PATIENCE)
        assert ready, f"{verb} hangs before it has begun"
        if listener in ready:
            self.link, _ = listener.accept()
            peer = self.link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            self.pid = struct.unpack("=3i", peer)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.link is not None:
            self.link.close()
        if self.pid and not self.answer.has_come(0):
            self.kill()
        self.finish()

    def wait_for_point(self) -> str:
        """The point where it stopped, "" when it has ended before."""
        if self.link is None:
            return ""
        # Init has a copy of the link: wait for the operation's end as well.
        ready, _, _ = select.select([self.link, self.answer.fd], [], [], PATIENCE)
        assert ready, f"{self.verb} hangs"
        return self.link.recv(4096).decode() if self.link in ready else ""

    def go_on(self) -> None:
        """Let it go on from the point."""
        assert self.link is not None
        self.link.send(b"G")

    def kill(self) -> None:
        """Kill the process that carries it out."""
        os.kill(self.pid, 9)

    def finish(self) -> int:
        """Its status; it may not take long."""
        assert self.answer.has_come(PATIENCE), f"{self.verb} waits for ever"
        return self.answer.result()[0]

    def said(self) -> str:
        """What it said to its caller."""
        return self.answer.result()[1]

    def children(self) -> list[int]:
        """The children of the process that carries it out, the oldest first."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]


class CommandLine(Way):
    """A process of its own for each command."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log = self.sandbox.logs / "driver"
        self.process = self.spawn(theirs.fileno(), "commands")
        theirs.close()

    def begin(self, asked: dict[str, Any]) -> Answer:
        self.control.send(json.dumps({**asked, "log": str(self.log)}).encode())
        return Answer(self.control.fileno(), self._read)

    def _read(self) -> tuple[int, str]:
        status = self.control.recv(MESSAGE)
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return int(status), said

    def close(self) -> None:
        self.control.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.end(self.process)


class Library(Way):
    """A program with ``ociruntime.api``, whose zygote does the work."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        launcher = self.directory / "zygote"
        command = f"exec {sys.executable} {DRIVER} library {self.directory} 3"
        launcher.write_text(f"#!/bin/sh\n{command}\n")
        launcher.chmod(0o755)
        self.library = api.Runtime(runtime.root, launcher=launcher)

    def begin(self, asked: dict[str, Any]) -> Answer:
        return in_a_thread(lambda: self._carry_out(asked["verb"], asked))

    def _carry_out(self, verb: str, asked: dict[str, Any]) -> None:
        name = asked["id"]
        if verb in ("create", "run"):
            options = asked["options"]
            made = self.library.create(asked["bundle"], name, **options)
            assert made.process is not None
            with made.process:
                if verb == "run":
                    try:
                        made.start()
                    except OciError as error:
                        raise NotStartedError(str(error)) from None
            return
        container = api.Container(self.library, name)
        if verb == "exec":
            with container.exec([], process=asked["process"], **asked["options"]):
                return
        if verb == "start":
            container.start()
        else:
            container.delete()

    def take_away(self, container: str) -> None:
        with contextlib.suppress(NotFound):
            api.Container(self.library, container).delete(force=True)

    def close(self) -> None:
        self.library.close()
        self.listener.close()


class Shim(Way):
    """containerd's client, and our shim without a containerd."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.path = self.directory / "test-shim"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.path))
        listener.listen(8)
        starter, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = self.spawn(theirs.fileno(), "shim")
        theirs.close()
        orders = "\0".join((str(self.path), runtime.root.name, *[""] * 5))
        socket.send_fds(starter, [orders.encode()], [listener.fileno()])
        starter.close()
        listener.close()
        self.options = {
            "type_url": m.RUNC_OPTIONS_URL,
            "value": m.RUNC_OPTIONS.encode({"root": str(runtime.root.parent)}),
        }
        self.execs = 0

    def begin(self, asked: dict[str, Any]) -> Answer:
        return in_a_thread(lambda: self._carry_out(asked["verb"], asked))

    def _carry_out(self, verb: str, asked: dict[str, Any]) -> None:
        key = {"id": asked["id"]}
        with TaskClient(self.path) as client:
            if verb in ("create", "run"):
                values = {"bundle": asked["bundle"], "options": self.options}
                values["terminal"] = asked.get("terminal", True)
                call(client, "Create", **key, **values)
                if verb == "run":
                    try:
                        call(client, "Start", **key)
                    except Refused as error:
                        raise NotStartedError(str(error)) from None
            elif verb == "exec":
                self.execs += 1
                process = json.dumps(asked["process"]).encode()
                spec = {"type_url": SPEC_URL, "value": process}
                key["exec_id"] = f"e{self.execs}"
                call(client, "Exec", **key, terminal=asked["process"]["terminal"], spec=spec)
                call(client, "Start", **key)
            else:
                call(client, verb.capitalize(), **key)

    def take_away(self, container: str) -> None:
        """As containerd does: its first process is killed, then it is deleted."""
        steps: tuple[tuple[str, dict[str, object]], ...] = (
            ("Kill", {"signal": 9}),
            ("Wait", {}),
            ("Delete", {}),
        )
        with TaskClient(self.path) as client:
            for method, values in steps:
                try:
                    call(client, method, id=container, **values)
                except Refused as refused:
                    # One that has ended cannot be killed; one that was never made is not there.
                    fine = (ttrpc.NOT_FOUND, ttrpc.FAILED_PRECONDITION)
                    if refused.code not in fine[: 1 + (method == "Kill")]:
                        raise

    def close(self) -> None:
        try:
            with TaskClient(self.path) as client:
                call(client, "Shutdown", id="none")
            self.process.wait(PATIENCE)
        finally:
            self.end(self.process)


def call(client: TaskClient, method: str, **values: object) -> dict[str, Any]:
    """One request; raises Refused."""
    question, answer, _ = METHODS[method]
    return client.call(method, question, answer, **values)


WAYS: dict[str, Callable[[Runtime], Way]] = {
    "command line": CommandLine,
    "library": Library,
    "shim": Shim,
}

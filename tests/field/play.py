"""Plays a case with one runtime, and returns all that was seen of it."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from conformance.terminal import ConsoleSocket
from tests.field import observe
from tests.field.case import Case, Change, fill
from tests.field.scene import HOOKS, Scene
from tests.support.runtime import TIMEOUT
from tests.support.sandbox import Sandbox

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# What a caller's odd ways apply to; the others only answer.
ACTS = ("create", "run", "start", "exec", "update")
_CRASH = re.compile(r"^(panic: |goroutine \d|fatal error: |SIGSEGV|Traceback )", re.MULTILINE)


class SilentError(Exception):
    """The runtime did not answer, or broke down: nothing can be compared."""


class NotCalledError(ValueError):
    """The caller cannot be what the case says (a user who wants another group): it is no case."""


@dataclass(frozen=True)
class Answer:
    """What one call did."""

    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """True if the exit status is 0."""
        return self.status == 0


class Play:
    """One case with one runtime. `seen` is nested: names, and at the leaves JSON values."""

    def __init__(self, case: Case, binary: Path, look: Path) -> None:
        self.case = case
        self.binary = binary
        self.sandbox = Sandbox()
        self.seen: dict[str, Any] = {}
        self.said: list[str] = []
        self.pid = 0
        self._calls = 0
        self._look = look

    def run(self) -> dict[str, Any]:
        """Play it to its end and return what was seen.

        Raises SilentError, after everything was removed, when the runtime did not answer.
        """
        try:
            self.scene = Scene(self.case, self.sandbox, self._look)
            with _Namespace(self._look, self.case.last("mounts", "private")) as namespace:
                self.namespace = namespace
                self.scene.host_peers = observe.peer_groups(namespace.pid)
                try:
                    with ExitStack() as self._until_the_end:
                        self._live()
                    self._hooks()
                    self.seen["left"] = observe.left(self.scene, namespace.pid)
                finally:
                    self.scene.close()
        finally:
            self.sandbox.clean()
        return self.seen

    def _live(self) -> None:
        for change in self.case.all("before"):
            self._call(change["before"], *fill(change.get("options", []), self.scene.names))
        life = self.case.last("life", "create")
        bundle = ("--bundle", str(self.scene.bundle))
        if life == "run":
            self._run(bundle)
        else:
            first = ("create",) if life == "create" else ("run", "--detach")
            if self._console(*first, *bundle) and self._started(life):
                self._while_it_runs()
            self._end()

    def _run(self, bundle: tuple[str, ...]) -> None:
        self._call("run", *bundle, self.scene.id, own_status=True)
        self._reported("process", 0)

    def _console(self, *words: str) -> bool:
        """Make the container; with a terminal, take its master, as engines do."""
        if not self.scene.config.get("process", {}).get("terminal"):
            return self._call(*words, self.scene.id).ok
        console = ConsoleSocket(self.sandbox.directory / "test-console")
        try:
            socket = ("--console-socket", str(console.path))
            return self._call(*words, *socket, self.scene.id).ok
        finally:
            # The master stays in the listener's queue; closing it hangs the terminal up.
            self._until_the_end.callback(console.close)

    def _started(self, life: str) -> bool:
        if life == "create":
            self._look_outside("created")
            if not self._call("start", self.scene.id).ok:
                return False
        if not self._reported_or_ended("process"):
            self.seen["process"] = "nothing was reported"
            return False
        self._look_outside("running")
        return True

    def _while_it_runs(self) -> None:
        executed, ended = 0, False
        for change in self.case.all("call"):
            verb = change["call"]
            options = fill(change.get("options", []), self.scene.names)
            if verb == "exec":
                self._exec(change, options, executed)
                executed += 1
            elif verb == "update" and "resources" in change:
                with _given(
                    self.sandbox.tmp / "resources.json", change["resources"], change
                ) as path:
                    self._call("update", *options, "--resources", path, self.scene.id)
                self._look_outside(f"after-{self._last}")
            elif verb == "kill":
                signals = change.get("signal", [])
                if self._call("kill", *options, self.scene.id, *signals).ok and signals != ["0"]:
                    self._wait_stopped()
                    ended = True
            elif verb == "ps":
                if ended:  # not comparable: only newer peers have an answer to it
                    continue
                answer = self._call("ps", "--format", "json", self.scene.id)
                self.seen[f"{self._last}-processes"] = observe.processes(answer.stdout)
            else:
                self._call(verb, *options, self.scene.id)
                self._look_outside(f"after-{self._last}")

    def _exec(self, change: Change, options: list[str], number: int) -> None:
        name = f"exec-{number}"
        words = ["look", "report", f"/report/{name}", name, *change.get("words", ["tree"])]
        if "process" in change:
            process = {"cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
            process |= fill(change["process"], self.scene.names) | {"args": words}
            with _given(self.sandbox.tmp / "process.json", process, change) as path:
                options += ["--process", path]
                self._call("exec", *options, self.scene.id, own_status=True)
        else:
            self._call("exec", *options, self.scene.id, *words, own_status=True)
        self._reported(name, TIMEOUT if "--detach" in options else 0)

    def _end(self) -> None:
        """Kill and delete it, if there is anything."""
        state = self._call("state", self.scene.id, record=False)
        if state.ok:
            if json.loads(state.stdout).get("status") != "stopped":
                self._call("kill", self.scene.id, "KILL")
            self._wait_stopped()
            self._look_outside("stopped")
            self._call("delete", self.scene.id)
        else:
            self._call("delete", "--force", self.scene.id, record=False)

    def _reported_or_ended(self, name: str) -> bool:
        """Wait for its report; one that has ended without says no more."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if self._reported(name, 1):
                return True
            if self._is_stopped():
                return self._reported(name, 0)
        return False

    def _wait_stopped(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        _wait_gone(self.pid)
        while time.monotonic() < deadline:
            if self._is_stopped():
                return
            time.sleep(0.005)
        raise SilentError("the container does not stop")

    def _is_stopped(self) -> bool:
        state = self._call("state", self.scene.id, record=False)
        return not state.ok or json.loads(state.stdout).get("status") == "stopped"

    def _look_outside(self, when: str) -> None:
        answer = self._call("state", self.scene.id, record=False)
        self.seen[f"state-{when}"] = observe.state(self.scene, answer.stdout)
        if when == "running":
            listed = self._call("list", "--format", "json", record=False)
            self.seen["list"] = observe.listed(self.scene, listed.stdout)
        if answer.ok and (pid := json.loads(answer.stdout).get("pid")):
            self.pid = pid
            self.seen[f"cgroup-{when}"] = observe.cgroup(self.scene, pid)

    def _reported(self, name: str, seconds: float) -> bool:
        found = self.scene.report(name, seconds)
        if found is not None:
            process = self.seen.get("process")
            own = process["namespace inodes"] if isinstance(process, dict) else {}
            self.seen[name] = observe.report(self.scene, found, self.namespace.links, own)
        return found is not None

    def _hooks(self) -> None:
        for kind in HOOKS:
            for number in "01":
                self._reported(f"{kind}-{number}", 0)
        for seen in self.seen.values():
            if isinstance(seen, dict):
                seen.pop("namespace inodes", None)

    def _call(self, *words: str, record: bool = True, own_status: bool = False) -> Answer:
        verb = words[0]
        wrapper = [str(self.scene.look), "as", f"mounts=/proc/{self.namespace.pid}/ns/mnt"]
        environment = {"PATH": PATH, "TMPDIR": str(self.sandbox.tmp)}
        streams = ["null", "file", "file"]
        wrapper += [f"cwd={self.scene.directory}/cwd"]
        if user := self.case.last("rootless", 0):
            wrapper += [f"user={user}"]
        if verb in ACTS:
            wrapper += fill(
                [change["caller"] for change in self.case.all("caller")], self.scene.names
            )
            for change in self.case.all("environment"):
                environment |= change["environment"]
            streams = self.case.last("streams", streams)
        if self.case.last("inside", False):
            wrapper += ["--", "/usr/bin/unshare", "--user", "--map-root-user", "--mount"]
        command = [*wrapper, "--", str(self.binary), "--root", str(self.sandbox.root)]
        log = self.sandbox.logs / "log"
        log.write_text("")
        if streams[2] != "file" and not user:  # or a refusal has no words
            command += ["--log", str(log)]
        answer = self._execute([*command, *words], environment, streams)
        said = answer.stderr.strip() or _read(log).strip()
        self.said.append(f"{' '.join(words)}: {answer.status} {said[-600:]}")
        if answer.stderr.startswith("look: "):  # it has not even called the runtime
            raise NotCalledError(answer.stderr)
        if answer.status < 0 or _CRASH.search(answer.stderr):
            raise SilentError(f"{verb}: {answer.status} {answer.stderr[:300]}")
        if record:
            self._calls += 1
            self._last = f"{self._calls}-{verb}"
            refused = answer.status in (1, 255) or not own_status
            how = "done" if answer.ok else "refused" if refused else f"status {answer.status}"
            self.seen.setdefault("calls", {})[self._last] = how
        return answer

    def _execute(
        self, command: list[str], environment: dict[str, str], streams: list[str]
    ) -> Answer:
        closed = [f"close={n}" for n, kind in enumerate(streams) if kind == "closed"]
        command[2:2] = closed
        out, err = self.sandbox.logs / "out", self.sandbox.logs / "err"
        opened: list[IO[bytes]] = []
        ends: list[int] = []
        files = [
            _stream(kind, path, self.sandbox.null, opened, ends)
            for kind, path in zip(streams, (out, out, err), strict=True)
        ]
        out.write_bytes(b"")
        err.write_bytes(b"")
        process = subprocess.Popen(
            command, stdin=files[0], stdout=files[1], stderr=files[2], env=environment,
            start_new_session=True,
        )  # fmt: skip
        for file in opened:
            file.close()
        try:
            if not _wait_gone(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
                raise SilentError(f"no answer: {' '.join(command[command.index('--') :])}")
        finally:
            process.wait()
            for end in ends:
                os.close(end)
        return Answer(process.returncode, _read(out), _read(err))


def _stream(kind: str, path: Path, null: Path, opened: list[IO[bytes]], ends: list[int]) -> Any:
    """Return what Popen takes for a standard stream; `ends` stay open until the call ended."""
    if kind == "pipe":
        read, write = os.pipe2(os.O_CLOEXEC)
        inside, outside = (read, write) if not opened else (write, read)
        ends.append(outside)
        opened.append(os.fdopen(inside, "wb" if inside == write else "rb", buffering=0))
    elif kind == "tty" and opened:
        opened.append(os.fdopen(os.dup(opened[0].fileno()), "r+b", buffering=0))
    elif kind == "tty":
        outside, inside = os.openpty()
        ends.append(outside)
        opened.append(os.fdopen(inside, "r+b", buffering=0))
    elif kind == "file":
        opened.append(path.open("ab", buffering=0))
    else:
        opened.append(null.open("rb" if kind == "null-r" else "r+b", buffering=0))
    return opened[-1]


@contextmanager
def _given(path: Path, data: Any, change: Change) -> Iterator[str]:
    """A file of JSON for the runtime; a FIFO that somebody writes into, where the case says so."""
    path.write_text(json.dumps(data))
    if not change.get("fifo"):
        yield str(path)
    else:
        fifo = path.with_suffix(".fifo")
        os.mkfifo(fifo)
        writer = subprocess.Popen(["cp", path, fifo])  # waits for a reader
        yield str(fifo)
        writer.kill()
        writer.wait()
        fifo.unlink()
    path.unlink()


def _wait_gone(pid: int) -> bool:
    """Wait until a process has ended; False when it did not in time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], TIMEOUT)[0])
    finally:
        os.close(pidfd)


def _read(path: Path) -> str:
    return path.read_bytes()[:1_000_000].decode(errors="replace")


class _Namespace:
    """A mount namespace that ends with the case, and all that a runtime leaves in it."""

    def __init__(self, look: Path, propagation: str) -> None:
        self._process = subprocess.Popen(
            [str(look), "namespace", propagation], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.pid = self._process.pid
        self.links = {
            kind: os.readlink(f"/proc/{self.pid}/ns/{kind}") for kind in os.listdir("/proc/self/ns")
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

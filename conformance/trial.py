"""What a test works with: bundles, containers of the runtime under test, and verdicts."""

from __future__ import annotations

import itertools
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any, NoReturn

from conformance import SPEC_VERSION
from conformance.bundle import Bundle, make_bundle
from conformance.container import Container, UnfitError
from conformance.host import Host
from conformance.leaks import leftovers, settled, unmount
from conformance.mounts import Mount, by_point
from conformance.runtime import OverdueError, Result, Runtime

# Each run has its own, so that none takes it away from under another.
CGROUP_PARENT = f"oci-conformance-{os.getpid()}"
MARKER = "OCI_CONFORMANCE"
_POLL = 0.01


class SkipTrial(Exception):
    """The test cannot be made on this machine; says what a probe of it has shown."""


@dataclass
class Verdict:
    """What was found about one sentence: `faults` is empty if it holds."""

    faults: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


def kill(pid: int) -> None:
    """End a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


class Trial:
    """One test: its corner of the machine and its verdicts.

    `sentences` are those to be judged, `deadline` the time (monotonic, seconds) it must end by,
    `scale` how much slower than others the machine is, `oci_version` what configurations say that
    they comply with.
    """

    def __init__(
        self,
        *,
        binary: Path,
        host: Host,
        prefix: str,
        directory: Path,
        sentences: Sequence[str],
        seconds: float,
        scale: float = 1.0,
        oci_version: str = SPEC_VERSION,
    ) -> None:
        self.host = host
        self.prefix = prefix
        self.directory = directory
        self.sentences = tuple(sentences)
        self.oci_version = oci_version
        self.scale = scale
        self.deadline = time.monotonic() + seconds * scale
        self.verdicts: dict[str, Verdict] = {}
        self.containers: list[Container] = []
        self.refused: list[str] = []
        self.closers: list[Callable[[], object]] = []
        self._numbers = itertools.count(1)
        self._features: dict[str, Any] | None = None
        logs = directory / "logs"
        logs.mkdir()
        self.root = directory / "state"
        self.runtime = Runtime(binary, self.root, logs, self.deadline, scale)
        self.runtime.environment[MARKER] = prefix
        self.null = directory / "null"
        os.mknod(self.null, stat.S_IFCHR | 0o666, os.makedev(1, 3))

    # Verdicts

    def seconds_left(self) -> float:
        """Seconds until it must have ended."""
        return max(self.deadline - time.monotonic(), 0.1)

    def expect(self, sentence: str, holds: object, saw: str) -> None:
        """Judge a sentence: `holds` or not, and what was seen that says so."""
        if sentence not in self.sentences:
            raise ValueError(f"{sentence} is not among the sentences of this test")
        verdict = self.verdicts.setdefault(sentence, Verdict())
        (verdict.seen if holds else verdict.faults).append(saw)

    def skip(self, reason: str) -> NoReturn:
        """End the test: the machine cannot show it."""
        raise SkipTrial(reason)

    def need(self, fact: object, reason: str) -> None:
        """Skip the test unless the machine has this."""
        if not fact:
            raise SkipTrial(reason)

    def refuses(
        self, sentence: str, bundle: Bundle, *, at: str = "start", what: str = ""
    ) -> Result:
        """Judge that the runtime refuses a bundle.

        It has until `at` (create or start) to do so; `what` says for readers what is wrong with
        the bundle. Returns the call that decided. What is left of a refused bundle fails
        `errors.unchanged`, which the runner judges after each test.
        """
        what = f"{what}: " if what else ""
        name = bundle.path.name
        result = self.attempt_create(bundle, name)
        if result.ok:
            container = self.adopt(name, bundle)
            if at == "start":
                result = container.attempt("start")
            container.close()
        if result.ok:
            self.expect(sentence, None, f"{what}accepted")
            return result
        left = self.left(name)
        rest = f"; left: {', '.join(left)}" if left else ""
        self.expect(sentence, result.refused, f"{what}{self.verb(result)}: {result.text}{rest}")
        return result

    @staticmethod
    def verb(result: Result) -> str:
        """Return which command a result is of."""
        known = ("create", "start", "state", "kill", "delete", "features", "exec")
        return next((word for word in result.command if word in known), "?")

    def left(self, name: str) -> list[str]:
        """Return what is left on the machine of a container, giving it time to go."""
        return settled(name, self.directory / "bundles" / name, self.root, self.scale)

    def left_now(self, name: str) -> list[str]:
        """Return what is on the machine of a container right now."""
        return leftovers(name, self.directory / "bundles" / name, self.root)

    # Bundles and containers

    def new_id(self) -> str:
        """Return a container id that nothing else uses."""
        return f"{self.prefix}-{next(self._numbers)}"

    def bundle(self, script: str | None = None) -> Bundle:
        """Make a bundle; its program is a shell script, or sleeps."""
        name = self.new_id()
        cgroup = f"/{CGROUP_PARENT}/{name}"
        made = make_bundle(
            self.directory / "bundles" / name,
            busybox=self.host.busybox,
            cgroup=cgroup,
            version=self.oci_version,
            script=script,
        )
        made.process["env"].append(f"{MARKER}={self.prefix}")
        return made

    def create(self, bundle: Bundle | None = None, *options: str, **how: Any) -> Container:
        """Create a container; raises UnfitError if the runtime refuses."""
        bundle = bundle or self.bundle()
        name = bundle.path.name
        result = self.attempt_create(bundle, name, *options, **how)
        if not result.ok:
            raise UnfitError(f"create: {result.text}")
        return self.adopt(name, bundle)

    def up(self, bundle: Bundle | None = None) -> Container:
        """Create and start a container, and wait until its program is executed or over."""
        return self.create(bundle).execute()

    def ran(self, bundle: Bundle) -> Container:
        """Create and start a container and wait for its end."""
        return self.create(bundle).run()

    def output(self, bundle: Bundle | str) -> str:
        """Run a container to its end and return what its program wrote."""
        if isinstance(bundle, str):
            bundle = self.bundle(bundle)
        container = self.ran(bundle)
        text = container.output()
        container.close()
        return text

    def report(self, bundle: Bundle, *names: str) -> dict[str, str]:
        """Run `probe report` in a container and return what it said, by name."""
        bundle.process["args"] = ["/bin/probe", "report", *names]
        lines = [line.partition(": ") for line in self.output(bundle).splitlines()]
        found = {key: value.strip() for key, _, value in lines}
        if missing := [name for name in names if name not in found]:
            raise UnfitError(f"the probe did not report {', '.join(missing)}: {found}")
        return found

    # The host

    def host_command(self, *command: str) -> str:
        """Run a program of the host and return its output.

        Skips the test if it is not installed, raises UnfitError if it fails.
        """
        self.need(self.host.program(command[0]), f"the host has no program `{command[0]}`")
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=30, check=False, stdin=DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise OverdueError(f"{' '.join(command)}: not done after 30 s") from None
        if done.returncode != 0:
            raise UnfitError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def host_mount(self, *args: str) -> None:
        """Call mount(8) in the suite's mount namespace; what is mounted goes with the test."""
        self.host_command("mount", *args)

    @staticmethod
    def host_mounts() -> dict[str, Mount]:
        """Return the mounts of the runtime's mount namespace."""
        return by_point(Path("/proc/self/mountinfo").read_text())

    def host_process(self, *command: str, wait: str | None = None) -> subprocess.Popen[str]:
        """Start a program of the host that is killed when the test ends.

        With `wait`, return when it has written this line.
        """
        self.need(self.host.program(command[0]), f"the host has no program `{command[0]}`")
        env = {**os.environ, MARKER: self.prefix}
        process = subprocess.Popen(command, stdin=DEVNULL, stdout=PIPE, text=True, env=env)

        def end() -> None:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

        self.closers.append(end)
        if wait and process.stdout and process.stdout.readline().strip() != wait:
            self.skip(f"{' '.join(command)}: it did not start here")
        return process

    def host_namespace(self, kind: str) -> str:
        """Make a namespace (as /proc/PID/ns names it) that lasts as long as the test.

        Returns its path. Skips the test where none can be made.
        """
        self.need(self.host.namespace(kind), f"the kernel has no {kind} namespaces")
        option = f"--{'mount' if kind == 'mnt' else kind}"
        fork = ["--fork"] if kind in {"pid", "time"} else []
        script = "echo ready; exec sleep 600"
        holder = self.host_process("unshare", option, *fork, "sh", "-c", script, wait="ready")
        pid = holder.pid
        if fork:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            self.closers.append(lambda: kill(pid))
        if kind == "user":
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{pid}/{name}").write_text("0 100000 65536\n")
        return f"/proc/{pid}/ns/{kind}"

    @staticmethod
    def is_namespace(path: str) -> bool:
        """Tell whether a path leads to a namespace."""
        try:
            return os.readlink(path).endswith("]")
        except OSError:
            return False

    def make_cgroup(self, path: Path) -> None:
        """Make a cgroup, and those above it, that are removed when the test ends."""
        path.mkdir(parents=True)
        self.closers.append(lambda: path.rmdir() if path.exists() else None)

    def wait_for(self, what: str, done: Callable[[], object]) -> None:
        """Poll until `done()`; raises OverdueError, which says `what` did not come."""
        limit = min(self.deadline, time.monotonic() + 10 * self.scale)
        while not done():
            if time.monotonic() > limit:
                raise OverdueError(f"not seen in time: {what}")
            time.sleep(_POLL)

    def features(self) -> dict[str, Any]:
        """Return the runtime's Features structure; skips the test if it has none."""
        if self._features is None:
            try:
                self._features = self.runtime.features()
            except ValueError as error:
                raise UnfitError(f"features: no JSON: {error}") from None
        if self._features is None:
            raise SkipTrial("this runtime has no `features` command (it MAY have one)")
        return self._features

    def close(self) -> None:
        """Delete all containers and undo what the test asked to be undone."""
        with ExitStack() as stack:  # all of them are called, whichever fails
            stack.callback(unmount, self.directory / "source")
            for closer in self.closers:
                stack.callback(closer)
            for container in self.containers:
                with suppress(OverdueError):
                    container.close()

    def at_once(self, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """Make calls at the same time; return their results in the same order."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]

    def attempt_create(self, bundle: Bundle, name: str, *options: str, **how: Any) -> Result:
        """Call `create` with this id, whatever comes of it."""
        path = str(bundle.write().path)
        how = {"stdin": str(self.null), "stdout": bundle.output, **how}
        result = self.runtime.call("create", "--bundle", path, *options, name, **how)
        if not result.ok:
            self.refused.append(name)
        return result

    def adopt(self, name: str, bundle: Bundle) -> Container:
        """Return the container of this id, which is there, to be removed in the end."""
        container = Container(self, name, bundle)
        self.containers.append(container)
        return container

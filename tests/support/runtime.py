"""The runtime under test: every call is timed, bounded, and captured through files.

Files, not pipes: a container inherits the stdout of `create`, and a pipe would keep the caller
waiting until the container ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from conformance.runtime import Result as Outcome
from conformance.runtime import finish, read
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.tally import count

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

# Seconds that one call of the runtime may take.
TIMEOUT = PATIENCE
_POLL = 0.01


@dataclass(frozen=True)
class Result(Outcome):
    """What one call of the runtime did, and to which container."""

    container: str = ""

    def json(self) -> Any:
        """Return stdout parsed as JSON."""
        return json.loads(self.stdout)

    def check(self) -> Result:
        """Return this result; raises AssertionError with all output unless it succeeded."""
        assert self.ok, str(self)
        return self

    def __str__(self) -> str:
        return (
            f"{' '.join(self.command)}\nexit status {self.status} after {self.seconds:.2f} s\n"
            f"stdout: {self.stdout[-2000:]}\nstderr: {self.stderr[-4000:]}"
        )


class TimedOutError(AssertionError):
    """The runtime did not finish in time; the message holds its output so far."""


class Runtime:
    """A runtime binary with a private --root. Methods named after commands return a Result.

    They never raise for a failing command (call `.check()`), only TimedOutError.
    `created` are the ids whose create or run succeeded, `failed` those where it did not.
    """

    def __init__(self, binary: Path, sandbox: Sandbox) -> None:
        self.binary = binary
        self.sandbox = sandbox
        self.root = sandbox.root
        self.global_options: tuple[str, ...] = ()
        self.created: list[str] = []
        self.failed: list[str] = []
        self._calls = 0

    @property
    def is_ours(self) -> bool:
        """True for ociruntime, whose messages are judged too."""
        return self.binary.name.startswith("ociruntime")

    def call(
        self,
        *args: str,
        container: str = "",
        timeout: float = TIMEOUT,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
        cwd: Path | None = None,
        wrapper: Sequence[str] = (),
    ) -> Result:
        """Run `wrapper… binary --root R args…` to its end.

        `timeout` in seconds; `env` is added to the sandbox's environment; `stdin` is a null device
        unless given; `stdout` and `stderr` replace the captured files; `wrapper` is a command in
        front, such as setpriv or unshare.
        """
        command = (*wrapper, str(self.binary), "--root", str(self.root))
        command += (*self.global_options, *args)
        out, err = self._files()
        with (
            out.open("wb") as out_file,
            err.open("wb") as err_file,
            self.sandbox.null.open("r+b", buffering=0) as null,
        ):
            status, seconds = finish(
                command,
                timeout,
                stdin=null if stdin is None else stdin,
                stdout=out_file if stdout is None else stdout,
                stderr=err_file if stderr is None else stderr,
                env={**self.sandbox.environment(), **(env or {})},
                pass_fds=tuple(pass_fds),
                cwd=cwd or self.sandbox.directory,
            )
        if status is None:
            raise TimedOutError(
                f"{' '.join(command)}\nnot finished after {timeout} s\n"
                f"stdout: {read(out)}\nstderr: {read(err)}"
            )
        done = Result(command, status, read(out), read(err), seconds, container)
        lines = done.stderr.splitlines()
        count("calls")
        count("refused", not done.ok and len(lines) == 1 and lines[0].startswith("ociruntime: "))
        # Whatever a test does to the runtime, what it answers is meant for a person.
        assert not self.is_ours or "internal error" not in done.stderr, str(done)
        return done

    def create(
        self, bundle: Bundle | Path, *options: str, container: str | None = None, **how: Any
    ) -> Result:
        """`create --bundle B OPTIONS ID`; writes the bundle's config.json first."""
        return self._make("create", bundle, options, container, how)

    def run(
        self, bundle: Bundle | Path, *options: str, container: str | None = None, **how: Any
    ) -> Result:
        """`run --bundle B OPTIONS ID`; stdout is the container's."""
        return self._make("run", bundle, options, container, how)

    def start(self, container: str, **how: Any) -> Result:
        """`start ID`."""
        return self.call("start", container, container=container, **how)

    def state(self, container: str, **how: Any) -> Result:
        """`state ID`; `.json()` of it is the state."""
        return self.call("state", container, container=container, **how)

    def kill(self, container: str, sig: str = "TERM", **how: Any) -> Result:
        """`kill ID SIG`."""
        return self.call("kill", container, sig, container=container, **how)

    def delete(self, container: str, *options: str, **how: Any) -> Result:
        """`delete OPTIONS ID`."""
        return self.call("delete", *options, container, container=container, **how)

    def exec(self, container: str, *args: str, options: Sequence[str] = (), **how: Any) -> Result:
        """`exec OPTIONS ID ARGS…`; stdout is the new process's."""
        return self.call("exec", *options, container, *args, container=container, **how)

    def list(self, *options: str, **how: Any) -> Result:
        """`list OPTIONS`, with a --root that is there: a missing one is an error."""
        self.root.mkdir(mode=0o711, exist_ok=True)
        return self.call("list", *options, **how)

    def ps(self, container: str, *options: str, **how: Any) -> Result:
        """`ps OPTIONS ID`."""
        return self.call("ps", *options, container, container=container, **how)

    def run_output(self, bundle: Bundle, args: Sequence[str] | str | None = None) -> str:
        """Run a container to its end and return its stdout; asserts exit status 0.

        `args` replaces process.args; a string is a shell script.
        """
        if isinstance(args, str):
            bundle.shell(args)
        elif args is not None:
            bundle.args = list(args)
        return self.run(bundle).check().stdout

    def up(self, bundle: Bundle, *options: str) -> str:
        """Create and start a container, asserting both, and return its id."""
        container = self.create(bundle, *options).check().container
        self.start(container).check()
        return container

    def pid(self, container: str) -> int:
        """Return the pid of the container's first process, from `state`."""
        return int(self.state(container).check().json()["pid"])

    def status(self, container: str) -> str:
        """Return the status word that `state` reports."""
        return str(self.state(container).check().json()["status"])

    def wait_for(self, container: str, status: str, timeout: float = TIMEOUT) -> None:
        """Poll `state` until it reports `status`; raises AssertionError after `timeout` s."""
        deadline = time.monotonic() + timeout
        while (now := self.status(container)) != status:
            assert time.monotonic() < deadline, f"{container} is still {now}, not {status}"
            time.sleep(_POLL)

    def remove_all(self) -> Sequence[str]:
        """Delete every container by force; return one line per failure."""
        lines = []
        for container in self.created:
            result = self.delete(container, "--force")
            if not result.ok:
                lines.append(f"delete --force {container}: {result.stderr.strip()[-300:]}")
        return lines

    def _make(
        self,
        verb: str,
        bundle: Bundle | Path,
        options: Sequence[str],
        container: str | None,
        how: dict[str, Any],
    ) -> Result:
        path = bundle.write().path if isinstance(bundle, Bundle) else bundle
        name = self.sandbox.new_id() if container is None else container
        self.created.append(name)
        result = self.call(verb, "--bundle", str(path), *options, name, container=name, **how)
        if not result.ok and verb == "create":
            self.created.remove(name)
            self.failed.append(name)
        return result

    def _files(self) -> tuple[Path, Path]:
        self._calls += 1
        return (
            self.sandbox.logs / f"{self._calls}.stdout",
            self.sandbox.logs / f"{self._calls}.stderr",
        )

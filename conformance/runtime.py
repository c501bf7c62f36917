"""The runtime under test, as a command: every call is bounded in time and captured in files.

Files, not pipes: a container inherits the stdout of `create`, and a pipe would keep us waiting
until the container ends.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.host import SetupError

CALL_SECONDS = 30.0
LONGEST_OUTPUT = 1 << 20
LOGFMT = re.compile(r'^time=.* msg="(.*)"$')


@dataclass(frozen=True)
class Result:
    """What one call did; `status` is negative when a signal ended it, `text` the error in short."""

    command: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """True if the exit status is 0."""
        return self.status == 0

    @property
    def refused(self) -> bool:
        """True for a failure that the runtime reported itself, without being killed."""
        return self.status > 0

    @property
    def text(self) -> str:
        """The last line of stderr, or of stdout, or the status."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines()]
        words = [line for line in lines if line]
        if not words:
            return f"exit status {self.status}, nothing said"
        message = LOGFMT.search(words[-1])
        return (message.group(1).replace('\\"', '"') if message else words[-1])[-300:]


class OverdueError(Exception):
    """A call or a test that did not end in time."""


class Runtime:
    """A runtime binary with a --root of its own, used by one test.

    `deadline` is the time (monotonic, seconds) after which no call may last; none may take longer
    than CALL_SECONDS times `scale`.
    """

    def __init__(
        self, binary: Path, root: Path, logs: Path, deadline: float, scale: float = 1.0
    ) -> None:
        self.binary = binary
        self.root = root
        self.logs = logs
        self.deadline = deadline
        self.call_seconds = CALL_SECONDS * scale
        self.wrapper: tuple[str, ...] = ()
        self.environment: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def call(
        self,
        *args: str,
        stdin: str = os.devnull,
        stdout: Path | None = None,
        cwd: Path | None = None,
        umask: int = 0o022,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Run `wrapper… binary --root R args…` to its end; `stdout` is a file for its output.

        Raises OverdueError, after killing it, when it takes longer than it may.
        """
        command = (*self.wrapper, str(self.binary), "--root", str(self.root), *args)
        number = next(self._numbers)
        out, err = stdout or self.logs / f"{number}.out", self.logs / f"{number}.err"
        allowed = max(min(self.call_seconds, self.deadline - time.monotonic()), 0.1)
        with out.open("wb") as out_file, err.open("wb") as err_file, open(stdin, "rb") as source:
            status, seconds = finish(
                command,
                allowed,
                stdin=source,
                stdout=out_file,
                stderr=err_file,
                cwd=cwd or self.logs,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.environment, **(env or {})},
                umask=umask,
                pass_fds=pass_fds,
            )
        if status is None:
            raise OverdueError(f"`{args[0] if args else ''}` was not done after {allowed:.0f} s")
        return Result(command, status, read(out), read(err), seconds)

    def features(self) -> dict[str, Any] | None:
        """Return the Features structure, None where the runtime has no such command."""
        result = self.call("features")
        if not result.ok:
            return None
        found = json.loads(result.stdout)
        return found if isinstance(found, dict) else None


def finish(command: Sequence[str], allowed: float, **how: Any) -> tuple[int | None, float]:
    """Run a command in a session of its own, `how` as `subprocess.Popen` takes it, but no longer
    than `allowed` seconds: then it and what it has started are killed.

    Returns its exit status, None when it was killed, and the seconds that it took.
    """
    begin = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True, **how)
    status: int | None
    try:
        status = process.wait(allowed)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        status = None
    return status, time.monotonic() - begin


def read(path: Path) -> str:
    """Return the text of an output file, and no more than its first MiB."""
    with path.open("rb") as file:
        return file.read(LONGEST_OUTPUT).decode(errors="replace")


def find_runtime(name: str) -> Path:
    """Return the path of a runtime, looked for in PATH if it has no slash.

    Raises SetupError where nothing can be executed.
    """
    found = shutil.which(name)
    if not found:
        raise SetupError(f"{name}: no program there")
    binary = Path(found).absolute()
    try:
        subprocess.run([str(binary), "--version"], capture_output=True, timeout=20, check=False)
    except OSError as error:
        raise SetupError(f"{name}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SetupError(f"{name}: `--version` was not done after 20 s") from None
    return binary


def version(binary: Path) -> str:
    """Return what `binary --version` says in its first line, or "unknown"."""
    try:
        result = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = result.stdout.strip().splitlines()
    return lines[0] if lines else "unknown"

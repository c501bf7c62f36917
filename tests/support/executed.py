"""One exec by the functions behind the command line, and what a process can be told by."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.errors import OciError
from ociruntime.lifecycle.exec import exec_process
from ociruntime.plan.requests import ExecRequest
from ociruntime.state.store import Store
from tests.support.descriptors import open_descriptors
from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.runtime import Runtime

Process = dict[str, Any]

# All that a process can be told by, but for its pid and what names an object of its own.
LOOK = r"""
grep -vE '^(SigQ|Pid|Tgid|Ngid|PPid|NSpid|NStgid|NSpgid|NSsid|Vm|Rss|Huge|Threads|.*ctxt|State)' \
  /proc/self/status
cat /proc/self/cgroup /proc/self/limits /proc/self/oom_score_adj
for kind in mnt uts ipc net pid user cgroup; do readlink /proc/self/ns/$kind; done
pwd; env | sort
read pid name state parent group session terminal rest </proc/self/stat
[ $pid = $group ] && [ $pid = $session ] && echo leads a session, terminal $terminal
ls /proc/self/fd
stat -c %u /proc/self/fd/1
test ! -x /probe || /probe keyring
"""


def process(*args: str, **values: Any) -> Process:
    """A process as config.json has it."""
    made: Process = {
        "args": list(args),
        "cwd": "/",
        "env": ["PATH=/bin:/usr/bin"],
        "user": {"uid": 0, "gid": 0},
        "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
    }
    return {**made, **values}


def look(**values: Any) -> Process:
    return process("sh", "-c", LOOK, **values)


class Said:
    """What came of an exec: `status` is the exit code, negative for a signal."""

    def __init__(self, status: int, output: str, warnings: list[str]) -> None:
        self.status = status
        self.output = output
        self.warnings = warnings


def the_rest(making: Any, fd: int) -> Any:
    """What the generator that waits for ``fd`` returns."""
    while True:
        assert select.select([fd], [], [], TIMEOUT)[0], "it never answers"
        try:
            fd, _ = next(making)
        except StopIteration as end:
            return end.value


def execute(
    runtime: Runtime,
    container: str,
    wanted: Process,
    streams: tuple[int, int, int] | None = None,
) -> Said:
    """Run it to its end; raises `OciError`. Leaves no descriptor and no child. With ``streams`` of
    the caller's own there is no output.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    options = ExecRequest()
    options.streams = streams or (null, write, write)
    opened = Store(str(runtime.root)).open(container)
    before, family = open_descriptors(), children()
    try:
        run = exec_process(opened, wanted, options)
        run.close()
        assert open_descriptors() == before
        os.close(write)
        write = -1
        with open(read, "rb", closefd=False) as file:
            output = file.read().decode(errors="surrogateescape")
        _, status = os.waitpid(run.pid, 0)
        return Said(os.waitstatus_to_exitcode(status), output, run.warnings)
    except OciError:
        assert open_descriptors() == before
        assert children() == family
        raise
    finally:
        opened.close()
        for fd in (read, write, null):
            if fd >= 0:
                os.close(fd)


def children() -> list[str]:
    """Our child processes."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def output_of(runtime: Runtime, container: str, wanted: Process) -> str:
    """What the process writes."""
    return execute(runtime, container, wanted).output


def failure_of(runtime: Runtime, container: str, wanted: Process) -> str:
    """The words with which it fails, one line."""
    with pytest.raises(OciError) as caught:
        execute(runtime, container, wanted)
    words = str(caught.value)
    assert "\n" not in words
    return words

"""One exec, done in both ways into a container (``lifecycle.tenant`` and ``lifecycle.entry``)."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle import entry
from ociruntime.lifecycle.tenant import ExecOptions, exec_process
from ociruntime.state.store import Container, Store
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
    """What came of an exec: `status` is that of waitpid(2)."""

    def __init__(self, status: int, output: str, warnings: list[str]) -> None:
        self.status = status
        self.output = output
        self.warnings = warnings


Way = Callable[[Container, Process, ExecOptions], Any]


def by_copy(container: Container, wanted: Process, options: ExecOptions) -> Any:
    run = exec_process(container, wanted, options)
    run.close()
    return run


def by_program(container: Container, wanted: Process, options: ExecOptions) -> Any:
    assert entry.can_enter(container, wanted, options)
    making = entry.exec_patiently(container, wanted, options, Kernel())
    return the_rest(making, next(making))


def the_rest(making: Any, fd: int) -> Any:
    """What the generator that waits for ``fd`` returns."""
    while True:
        assert select.select([fd], [], [], TIMEOUT)[0], "it never answers"
        try:
            fd = next(making)
        except StopIteration as end:
            return end.value


WAYS = pytest.mark.parametrize("way", [by_copy, by_program])


def execute(
    runtime: Runtime,
    container: str,
    wanted: Process,
    way: Way,
    streams: tuple[int, int, int] | None = None,
) -> Said:
    """Run it to its end; raises `OciError`. Leaves no descriptor and no child. With ``streams`` of
    the caller's own there is no output.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    options = ExecOptions()
    options.streams = streams or (null, write, write)
    opened = Store(str(runtime.root)).open(container)
    before, family = open_descriptors(), children()
    try:
        run = way(opened, wanted, options)
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


def both(runtime: Runtime, container: str, wanted: Process) -> tuple[Said, Said]:
    one, other = (execute(runtime, container, wanted, way) for way in (by_copy, by_program))
    return one, other


def assert_same(runtime: Runtime, container: str, wanted: Process) -> str:
    """That both ways give one result; its output."""
    copy, program = both(runtime, container, wanted)
    assert program.output == copy.output
    assert (program.status, program.warnings) == (copy.status, copy.warnings)
    return program.output


def failures(runtime: Runtime, container: str, wanted: Process) -> str:
    """The words with which both ways fail, one line."""
    words = []
    for way in (by_copy, by_program):
        with pytest.raises(OciError) as caught:
            execute(runtime, container, wanted, way)
        words.append(str(caught.value))
    assert words[0] == words[1]
    assert "\n" not in words[0]
    return words[0]

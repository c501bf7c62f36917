"""Attributes of the caller's process (prctl(2), signals, CPUs) do not reach the container: the
configuration's do.

Callers are anything: a daemon with inheritable capabilities, a sandbox with no_new_privs, a program
that may not be dumped. What they set on themselves, fork(2) and execve(2) mostly keep.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ociruntime.plan.attributes import number_list
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
AS_CALLER = "import os, prctl, sys; {}; os.execv(sys.argv[1], sys.argv[1:])"
CALLERS = {
    "nothing": "pass",
    "inheritable": "prctl.cap_inheritable.net_raw = prctl.cap_inheritable.sys_admin = True",
    "bounding": "prctl.capbset.sys_time = prctl.capbset.sys_boot = False",
    "not dumpable": "prctl.set_dumpable(0)",
    "keeps capabilities": "prctl.set_keepcaps(1)",
    "dies with its parent": "prctl.set_pdeathsig(9)",
    "a subreaper": "prctl.set_child_subreaper(1)",
    "a name": "prctl.set_name('somebody')",
    "ignores signals": "import signal; [signal.signal(number, signal.SIG_IGN) for number in "
    "signal.valid_signals() - {9, 19}]",
    "ignores its children": "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "blocks signals": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
    "one CPU": "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})",
}
FIELDS = (
    *("Name", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"),
    *("SigIgn", "SigBlk", "Cpus_allowed_list"),
)
# What a process is left with that asks for every CPU.
EVERY_CPU = (
    "import os; os.sched_setaffinity(0, range(8192)); print(*os.sched_getaffinity(0), sep=',')"
)


def seen(runtime: Runtime, bundle: Bundle, caller: str) -> dict[str, str]:
    """The fields of /proc/self/status, with the runtime called by such a process."""
    bundle.args = ["cat", "/proc/self/status"]
    return fields(runtime.run(bundle, wrapper=by(caller)).check().stdout)


def by(caller: str) -> tuple[str, ...]:
    return (sys.executable, "-c", AS_CALLER.format(caller))


def fields(output: str) -> dict[str, str]:
    lines = dict(line.split(":", 1) for line in output.splitlines())
    return {name: lines[name].strip() for name in FIELDS}


def assert_nothing_came(found: dict[str, str]) -> None:
    granted = "00000000a80425fb"  # those of tests/support/config.py
    assert found["Name"] == "cat"
    assert found["CapBnd"] == found["CapPrm"] == found["CapEff"] == granted
    assert found["CapInh"] == found["CapAmb"] == "0000000000000000"
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert found["SigIgn"] == found["SigBlk"] == "0000000000000000"
    command = [sys.executable, "-c", EVERY_CPU]
    all_of_them = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpus = number_list(found["Cpus_allowed_list"], "")
    assert ",".join(map(str, cpus)) == all_of_them.strip()


@pytest.mark.parametrize("name", CALLERS)
def test_what_the_caller_is_does_not_matter(
    runtime: Runtime, bundle: MakeBundle, name: str
) -> None:
    assert_nothing_came(seen(runtime, bundle(), CALLERS[name]))


@pytest.mark.parametrize("name", ["ignores signals", "blocks signals", "one CPU"])
def test_nor_does_it_for_exec(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.create(made, wrapper=by(CALLERS[name])).check().container
    runtime.start(container, wrapper=by(CALLERS[name])).check()
    done = runtime.exec(container, "cat", "/proc/self/status", wrapper=by(CALLERS[name]))
    assert_nothing_came(fields(done.check().stdout))
    runtime.delete(container, "--force", wrapper=by(CALLERS[name])).check()


@pytest.mark.parametrize("phase", ["prestart", "createContainer", "startContainer", "poststop"])
def test_nor_does_it_for_hooks(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, phase: str
) -> None:
    """What they are, children of the runtime, starts with the signals' defaults."""
    output = sandbox.directory / "output"
    made = bundle(args=["true"]).bind(sandbox.directory, str(sandbox.directory))
    script = f"grep -E '^Sig(Ign|Blk)' /proc/self/status >{output}"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"]}
    made.set("/hooks", {phase: [hook]})
    runtime.run(made, wrapper=by(CALLERS["ignores signals"])).check()
    quit_by_shell = 1 << 2  # busybox's shell ignores it for the commands of a script
    for line in output.read_text().splitlines():
        assert int(line.split()[1], 16) & ~quit_by_shell == 0 or not runtime.is_ours


def test_exec_affinity_wins(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """process.execCPUAffinity is what the process gets, one of its two members is enough."""
    container = runtime.up(bundle(args=["sleep", "100"]))
    cpu = str(max(os.sched_getaffinity(0)))
    file = sandbox.directory / "process.json"
    for affinity in ({"initial": cpu}, {"final": cpu}, {"initial": cpu, "final": cpu}):
        wanted = {"args": ["cat", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"]}
        file.write_text(json.dumps({**wanted, "execCPUAffinity": affinity}))
        done = runtime.exec(container, options=["--process", str(file)]).check()
        assert fields(done.stdout)["Cpus_allowed_list"] == cpu


def test_no_new_privs_cannot_be_taken_back(runtime: Runtime, bundle: MakeBundle) -> None:
    """And a caller that has it can still run a container whose config does not ask for it."""
    made = bundle()
    assert seen(runtime, made, "pass")["NoNewPrivs"] == "0"
    assert seen(runtime, made, "prctl.set_no_new_privs(1)")["NoNewPrivs"] == "1"


NOWHERE = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh")


def test_a_current_directory_that_was_removed(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is asked for only where something is relative to it."""
    made = bundle(args=["echo", "hello"])
    assert runtime.run(made, wrapper=NOWHERE).check().stdout == "hello\n"
    assert runtime.call("list", wrapper=NOWHERE).ok


def test_a_bundle_below_a_directory_that_was_removed(runtime: Runtime) -> None:
    result = runtime.call("create", "--bundle", "b", "nowhere", wrapper=NOWHERE)
    assert_clear(runtime, result, "directory")

"""Attributes of the caller's process (prctl(2)) do not reach the container: the configuration's do.

Callers are anything: a daemon with inheritable capabilities, a sandbox with no_new_privs, a program
that may not be dumped. What they set on themselves, fork(2) and execve(2) mostly keep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

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
}
FIELDS = ("Name", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


def seen(runtime: Runtime, bundle: Bundle, caller: str) -> dict[str, str]:
    """The fields of /proc/self/status, with the runtime called by such a process."""
    bundle.args = ["cat", "/proc/self/status"]
    wrapper = (sys.executable, "-c", AS_CALLER.format(caller))
    output = runtime.run(bundle, wrapper=wrapper).check().stdout
    lines = dict(line.split(":", 1) for line in output.splitlines())
    return {name: lines[name].strip() for name in FIELDS}


@pytest.mark.parametrize("name", CALLERS)
def test_what_the_caller_is_does_not_matter(
    runtime: Runtime, bundle: MakeBundle, name: str
) -> None:
    found = seen(runtime, bundle(), CALLERS[name])
    granted = "00000000a80425fb"  # those of tests/support/config.py
    assert found["Name"] == "cat"
    assert found["CapBnd"] == found["CapPrm"] == found["CapEff"] == granted
    assert found["CapInh"] == found["CapAmb"] == "0000000000000000"
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")


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

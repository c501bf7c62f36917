"""The operations and the states they need (runtime.md, "Lifecycle" and "Operations")."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import TIMEOUT, Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
STATES = ("created", "running", "stopped")


def in_state(runtime: Runtime, bundle: MakeBundle, state: str) -> str:
    """A container in ``state``."""
    made = bundle(args=["sleep", "100"])
    container = runtime.create(made).check().container
    if state != "created":
        runtime.start(container).check()
    if state == "stopped":
        runtime.kill(container, "KILL").check()
        runtime.wait_for(container, "stopped")
    return container


@pytest.mark.parametrize(
    ("state", "words"), [("running", ("start", "running")), ("stopped", ("start", "stopped"))]
)
def test_start_needs_created(
    runtime: Runtime, bundle: MakeBundle, state: str, words: tuple[str, ...]
) -> None:
    container = in_state(runtime, bundle, state)
    before = runtime.state(container).check().json()
    assert_clear(runtime, runtime.start(container), *words)
    assert runtime.state(container).check().json() == before


def test_kill_needs_a_process(runtime: Runtime, bundle: MakeBundle) -> None:
    container = in_state(runtime, bundle, "stopped")
    assert_clear(runtime, runtime.kill(container, "TERM"), "container not running")
    assert runtime.status(container) == "stopped"


def test_delete_of_running_needs_force(runtime: Runtime, bundle: MakeBundle) -> None:
    container = in_state(runtime, bundle, "running")
    assert_clear(runtime, runtime.delete(container), "not stopped")
    assert runtime.status(container) == "running"
    runtime.delete(container, "--force").check()
    assert not runtime.state(container).ok


@pytest.mark.parametrize("state", ["created", "stopped"])
def test_delete(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, state: str) -> None:
    container = in_state(runtime, bundle, state)
    runtime.delete(container).check()
    assert sandbox.settled_leaks() == []


@pytest.mark.parametrize("state", STATES)
def test_forced_delete(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, state: str) -> None:
    container = in_state(runtime, bundle, state)
    runtime.delete(container, "--force").check()
    assert sandbox.settled_leaks() == []


@pytest.mark.parametrize("verb", ["start", "state", "kill", "delete"])
def test_unknown_id(runtime: Runtime, sandbox: Sandbox, verb: str) -> None:
    result = runtime.call(verb, sandbox.new_id())
    assert_clear(runtime, result, "container does not exist")


def test_forced_delete_of_nothing(runtime: Runtime, sandbox: Sandbox) -> None:
    """Engines clean up twice."""
    result = runtime.delete(sandbox.new_id(), "--force").check()
    assert result.stderr == ""


def test_kill_of_created(runtime: Runtime, bundle: MakeBundle) -> None:
    """TERM ends the waiting init: the program never runs."""
    made = bundle(args=["touch", "/started"])
    container = runtime.create(made).check().container
    runtime.kill(container).check()
    runtime.wait_for(container, "stopped")
    assert not runtime.start(container).ok
    assert not (made.rootfs / "started").exists()


@pytest.mark.parametrize("name", ["37", "RTMIN+3", "SIGRTMIN+3", "usr1", "SIGUSR1", "10"])
def test_signals(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    made = bundle()
    made.shell('for s in 37 USR1; do trap "echo $s >/signal" $s; done; echo >/up; sleep 100 & wait')
    container = runtime.up(made)
    wait_for_file(made, "up")
    runtime.kill(container, name).check()
    expected = "USR1" if name in ("usr1", "SIGUSR1", "10") else "37"
    assert wait_for_file(made, "signal") == expected


def wait_for_file(bundle: Bundle, name: str, seconds: float = TIMEOUT) -> str:
    path = bundle.rootfs / name
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"/{name} does not appear in the container"
        time.sleep(0.01)
    return path.read_text().strip()


@pytest.mark.parametrize("name", ["65", "NONSENSE", "RTMIN+99", "-9", ""])
def test_unknown_signal(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    container = in_state(runtime, bundle, "running")
    result = runtime.call("kill", "--", container, name)
    assert not result.ok
    assert runtime.status(container) == "running"


def test_signal_zero(runtime: Runtime, bundle: MakeBundle) -> None:
    """It asks whether there is a process, and does nothing to it (kill(2))."""
    container = in_state(runtime, bundle, "running")
    runtime.kill(container, "0").check()
    runtime.call("kill", "--all", container, "0").check()
    assert runtime.status(container) == "running"
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    assert not runtime.kill(container, "0").ok


def test_two_creates_of_one_id(runtime: Runtime, bundle: MakeBundle) -> None:
    """One wins, the others say so."""
    bundles = [bundle(args=["sleep", "100"]).write() for _ in range(6)]
    name = bundles[0].name
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda b: runtime.create(b.path, container=name), bundles))
    runtime.created[:] = [name]
    runtime.failed.clear()
    losers = [result for result in results if not result.ok]
    assert len(losers) == 5
    for result in losers:
        assert_clear(runtime, result, "container with given ID already exists")
    assert runtime.status(name) == "created"
    runtime.start(name).check()


def test_config_is_read_once(runtime: Runtime, bundle: MakeBundle) -> None:
    """Edits after create have no effect (runtime.md#create)."""
    made = bundle(args=["touch", "/first"])
    container = runtime.create(made).check().container
    made.args = ["touch", "/second"]
    made.write()
    runtime.start(container).check()
    runtime.wait_for(container, "stopped")
    assert (made.rootfs / "first").exists()
    assert not (made.rootfs / "second").exists()


def test_create_does_not_run_the_program(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["touch", "/started"])
    container = runtime.create(made).check().container
    time.sleep(0.1)
    assert runtime.status(container) == "created"
    assert not (made.rootfs / "started").exists()


def test_missing_process(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is an error of start, and none of create (config.md#process)."""
    if not runtime.is_ours:
        pytest.skip("runc and crun refuse to create such a container")
    made = bundle().remove("/process")
    container = runtime.create(made).check().container
    assert runtime.status(container) == "created"
    assert_clear(runtime, runtime.start(container), "process")
    assert runtime.status(container) == "created"
    runtime.delete(container).check()


def test_run_returns_the_exit_status(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run(bundle().shell("exit 3")).status == 3


def test_run_of_a_signalled_program(runtime: Runtime, bundle: MakeBundle) -> None:
    """A first process cannot signal itself; one in the host's PID namespace can."""
    made = bundle().drop_namespace("pid").shell("kill -TERM $$")
    made.drop_mounts("/proc").config["linux"]["maskedPaths"] = []
    assert runtime.run(made).status == 128 + 15


def test_kill_reaches_what_outlived_the_first_process(
    runtime: Runtime, bundle: MakeBundle
) -> None:
    """In the host's pid namespace nothing ends with it: SIGKILL is for the others then."""
    made = bundle().drop_namespace("pid").shell("sleep 1000 & exit 0")
    made.drop_mounts("/proc").config["linux"]["maskedPaths"] = []
    container = runtime.up(made)
    runtime.wait_for(container, "stopped")
    if runtime.is_ours:
        (survivor,) = runtime.ps(container, "--format", "json").check().json()
        assert_clear(runtime, runtime.kill(container, "TERM"), "container not running")
        os.kill(survivor, 0)
    runtime.kill(container, "KILL").check()
    deadline = time.monotonic() + TIMEOUT
    while runtime.ps(container, "--format", "json").check().json():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not runtime.kill(container, "KILL").ok
    runtime.delete(container).check()


def test_run_detached(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    pid_file = sandbox.directory / "pid"
    result = runtime.run(bundle(args=["sleep", "100"]), "-d", "--pid-file", str(pid_file)).check()
    assert runtime.status(result.container) == "running"
    assert int(pid_file.read_text()) == runtime.pid(result.container)


def test_run_leaves_nothing(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    result = runtime.run(bundle(args=["true"])).check()
    assert not runtime.state(result.container).ok
    assert sandbox.settled_leaks() == []


def test_pid_file(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """It is complete when create returns, without a line feed."""
    pid_file = sandbox.directory / "pid"
    container = runtime.create(bundle(), "--pid-file", str(pid_file)).check().container
    assert pid_file.read_text() == str(runtime.pid(container))
    os.kill(runtime.pid(container), 0)


def test_failed_create_frees_the_id(runtime: Runtime, bundle: MakeBundle) -> None:
    bad = bundle(args=["/no/such/program"])
    assert_clear(runtime, runtime.create(bad, container=bad.name), "no such file or directory")
    good = bundle()
    runtime.create(good, container=bad.name).check()
    runtime.failed.clear()


def test_regex(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """crun's --regex: every container whose id it is found in; a failure stops no other."""
    first, second = (in_state(runtime, bundle, "running") for _ in range(2))
    stopped = in_state(runtime, bundle, "stopped")
    anybody = f"^{sandbox.prefix}-[0-9]+$"
    killed = runtime.call("kill", "--regex", anybody, "KILL")
    assert_clear(runtime, killed, stopped, "container not running")
    for container in (first, second):
        runtime.wait_for(container, "stopped")
    assert_clear(runtime, runtime.call("delete", "-r", "("), "--regex")
    runtime.call("delete", "--regex", anybody).check()
    assert runtime.list("-q").check().stdout == ""
    runtime.call("delete", "--force", "--regex", anybody).check()


def test_run_waits_for_orphans(runtime: Runtime, bundle: MakeBundle) -> None:
    """Whoever a hook executes in the container becomes a child of `run`: the container's first
    process cannot end before it has been waited for (pid_namespaces(7)).
    """
    made = bundle(args=["sh", "-c", "until [ -e /work/done ]; do sleep 0.05; done; exit 7"])
    (made.rootfs / "work").mkdir()
    name = 'sed \'s/.*"id": *"\\([^"]*\\)".*/\\1/\''
    script = f"{runtime.binary} --root {runtime.root} exec --detach $({name}) touch /work/done"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}
    made.set("/hooks", {"poststart": [hook]})
    if not runtime.is_ours:
        pytest.skip("runc 1.1 runs poststart hooks before the program")
    assert runtime.run(made, timeout=TIMEOUT).status == 7

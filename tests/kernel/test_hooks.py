"""The six kinds of hooks: order, place, input and failure (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
OF_CREATE = ("prestart", "createRuntime", "createContainer")
OF_START = ("startContainer", "poststart")
PHASES = (*OF_CREATE, *OF_START, "poststop")
# The shell sets these itself.
SHELLS_OWN = {"PWD", "SHLVL", "_", "OLDPWD"}
RECORD = """#!/bin/sh
# $1: the phase. One line a fact; no program of the host is needed, only the shell's own words.
read -r state
{
  echo "phase $1 $2"
  echo "state $state"
  readlink /proc/self/ns/mnt
} >>DIRECTORY/log
"""


@pytest.fixture
def record(bundle: MakeBundle, sandbox: Sandbox) -> tuple[Bundle, Path]:
    """A bundle with two recording hooks of each kind, and the log they write to.

    The log and the hooks' program have the same path in the container as on the host.
    """
    directory = sandbox.directory / "hooks"
    directory.mkdir()
    program = directory / "record"
    program.write_text(RECORD.replace("DIRECTORY", str(directory)))
    program.chmod(0o755)
    log = directory / "log"
    made = bundle(args=["sh", "-c", f"echo 'phase program 0' >>{log}"], annotations={"a": "b"})
    made.bind(directory, str(directory))
    env = ["PATH=/usr/bin:/bin"]
    made.config["hooks"] = {
        phase: [
            {"path": str(program), "args": ["record", phase, str(number)], "env": env}
            for number in (1, 2)
        ]
        for phase in PHASES
    }
    return made, log


def phases(log: Path) -> list[tuple[str, int]]:
    lines = log.read_text().splitlines() if log.exists() else []
    found = [line.split()[1:] for line in lines if line.startswith("phase ")]
    return [(phase, int(number)) for phase, number in found]


def facts(log: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """phase -> (state, mount namespace) of its first hook."""
    lines = log.read_text().splitlines()
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for index, line in enumerate(lines):
        if line.startswith("phase ") and "program" not in line:
            state = json.loads(lines[index + 1].removeprefix("state "))
            found.setdefault(line.split()[1], (state, lines[index + 2]))
    return found


def both(*names: str) -> list[tuple[str, int]]:
    return [(name, number) for name in names for number in (1, 2)]


def wait_for_phases(log: Path, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(phases(log)) < count:
        assert time.monotonic() < end, phases(log)
        time.sleep(0.01)


def test_order(runtime: Runtime, record: tuple[Bundle, Path]) -> None:
    made, log = record
    container = runtime.create(made).check().container
    assert phases(log) == both(*OF_CREATE)
    runtime.start(container).check()
    wait_for_phases(log, 11)
    done = phases(log)
    assert done[6:8] == both("startContainer")
    # The program runs before the poststart hooks, but may be slower.
    assert [entry for entry in done[8:] if entry[0] == "poststart"] == both("poststart")
    assert ("program", 0) in done[8:]
    runtime.wait_for(container, "stopped")
    assert len(phases(log)) == 11
    runtime.delete(container).check()
    assert phases(log)[11:] == both("poststop")


def test_state_and_namespaces(runtime: Runtime, record: tuple[Bundle, Path]) -> None:
    made, log = record
    made.args = ["sleep", "100"]
    container = runtime.create(made).check().container
    pid = runtime.pid(container)
    inside, outside = os.readlink(f"/proc/{pid}/ns/mnt"), os.readlink("/proc/self/ns/mnt")
    runtime.start(container).check()
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    runtime.delete(container).check()
    found = facts(log)
    status = {
        "prestart": "creating",
        "createRuntime": "creating",
        "createContainer": "creating",
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }
    for phase in PHASES:
        state, namespace = found[phase]
        assert state["id"] == container
        assert state["bundle"] == str(made.path)
        assert state["annotations"]["a"] == "b"
        if runtime.is_ours:
            assert state["status"] == status[phase], phase
        is_inside = phase in ("createContainer", "startContainer")
        assert namespace == (inside if is_inside else outside), phase
    assert {found[phase][0]["pid"] for phase in ("prestart", "createRuntime", "poststart")} == {pid}
    assert found["poststop"][0].get("pid", 0) == 0


def failing(bundle: Bundle, sandbox: Sandbox, phase: str, script: str, **more: object) -> Bundle:
    """Give the bundle one hook, which runs ``script``."""
    program = sandbox.directory / "failing"
    program.write_text("#!/bin/sh\n" + script + "\n")
    program.chmod(0o755)
    bundle.bind(program, str(program))
    bundle.config.setdefault("hooks", {})[phase] = [{"path": str(program), **more}]
    return bundle


@pytest.mark.parametrize("phase", [*OF_CREATE, *OF_START])
def test_failure(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, phase: str) -> None:
    """It fails the operation, says what the hook said, and leaves no container."""
    made = failing(bundle(args=["sleep", "100"]), sandbox, phase, "echo the reason >&2; exit 7")
    result = runtime.create(made)
    if phase in OF_START:
        container = result.check().container
        result = runtime.start(container)
        runtime.created.remove(container)
    assert_clear(runtime, result)
    if runtime.is_ours:
        for words in (f"hooks.{phase}[0]", "status 7", "the reason"):
            assert words in result.stderr, words
        assert sandbox.settled_leaks() == []
        assert not runtime.state(result.container).ok


def test_failure_still_owes_poststop(
    runtime: Runtime, record: tuple[Bundle, Path], sandbox: Sandbox
) -> None:
    made, log = record
    made.config["hooks"]["createContainer"][1]["path"] = "/bin/false"
    assert not runtime.create(made).ok
    expected = [*both("prestart", "createRuntime"), ("createContainer", 1), *both("poststop")]
    assert phases(log) == expected or not runtime.is_ours


def test_failure_inside_owes_poststop(
    runtime: Runtime, record: tuple[Bundle, Path], sandbox: Sandbox
) -> None:
    """Also where the only hook of create is one that the container side executes."""
    made, log = record
    hooks = made.config["hooks"]
    made.config["hooks"] = {name: hooks[name] for name in ("createContainer", "poststop")}
    made.config["hooks"]["createContainer"][0]["path"] = "/bin/false"
    assert not runtime.create(made).ok
    assert phases(log) == both("poststop") or not runtime.is_ours


def test_failure_before_any_hook_owes_nothing(
    runtime: Runtime, record: tuple[Bundle, Path], sandbox: Sandbox
) -> None:
    """A mount inside fails before the createContainer hooks: no poststop hook runs."""
    made, log = record
    hooks = made.config["hooks"]
    made.config["hooks"] = {name: hooks[name] for name in ("createContainer", "poststop")}
    made.config["mounts"].append(
        {"destination": "/m", "type": "tmpfs", "source": "t", "options": ["nosuchoption=1"]}
    )
    assert not runtime.create(made).ok
    assert not log.exists() or phases(log) == []


def test_failed_poststop_is_a_warning(
    runtime: Runtime, record: tuple[Bundle, Path], sandbox: Sandbox
) -> None:
    """The next hook runs all the same, and the container is deleted."""
    made, log = record
    made.config["hooks"] = {"poststop": made.config["hooks"]["poststop"]}
    made.config["hooks"]["poststop"][0]["path"] = "/bin/false"
    container = runtime.create(made).check().container
    result = runtime.delete(container).check()
    assert "/bin/false" in result.stderr
    assert phases(log) == [("poststop", 2)]
    assert sandbox.settled_leaks() == []


@pytest.mark.parametrize("phase", ["createRuntime", "createContainer"])
def test_timeout(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, phase: str) -> None:
    script = "echo still busy; exec sleep 1000"
    env = ["PATH=/usr/bin:/bin"]
    made = failing(bundle(), sandbox, phase, script, timeout=1, env=env)
    result = runtime.create(made)
    assert_clear(runtime, result)
    if runtime.is_ours:
        assert "timeout of 1 s" in result.stderr
        assert "still busy" in result.stderr


def test_quick_hook_with_timeout(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """Its end is waited for, and not its time."""
    made = failing(bundle(), sandbox, "createRuntime", "exit 0", timeout=10_000)
    runtime.create(made).check()


def test_streams_of_a_user_namespace(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """Root of the namespace can open them anew."""
    script = 'read -r state </dev/stdin; [ "$state" ] && echo heard >/dev/stderr; exit 3'
    mapping = [{"containerID": 0, "hostID": 200000, "size": 65536}]
    made = bundle().add_namespace("user").set("/linux/uidMappings", mapping)
    made = failing(made.set("/linux/gidMappings", mapping), sandbox, "createContainer", script)
    result = runtime.create(made)
    assert_clear(runtime, result)
    if runtime.is_ours:
        assert "heard" in result.stderr


@pytest.mark.parametrize("env", [None, [], ["ONLY=this one"], ["A=1", "B=2", "A=3"]])
def test_environment(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, env: list[str] | None
) -> None:
    """It is the hook's own, an empty one too, and otherwise the caller's."""
    output = sandbox.directory / "output"
    more: dict[str, object] = {} if env is None else {"env": env}
    made = failing(bundle(), sandbox, "createRuntime", f"/usr/bin/env >{output}", **more)
    runtime.create(made, env={"CALLER": "1"}).check()
    lines = [
        line for line in output.read_text().splitlines() if line.partition("=")[0] not in SHELLS_OWN
    ]
    if env is None:
        callers = {**sandbox.environment(), "CALLER": "1"}
        wanted = [f"{k}={v}" for k, v in callers.items() if k not in SHELLS_OWN]
    else:
        wanted = list({entry[0]: entry for entry in env}.values())
    assert sorted(lines) == sorted(wanted)


@pytest.mark.parametrize("arguments", [[""], ["", "x"], ["name"]])
def test_the_name_may_be_empty(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, arguments: list[str]
) -> None:
    """args is the hook's argument vector, whatever is in it."""
    output = sandbox.directory / "output"
    made = failing(bundle(), sandbox, "createRuntime", f'echo "$# $1" >{output}', args=arguments)
    runtime.create(made).check()
    assert output.read_text().split() == [str(len(arguments) - 1), *arguments[1:]]


@pytest.mark.parametrize("phase", [*OF_CREATE, "poststart", "poststop"])
def test_umask_and_directory(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, phase: str
) -> None:
    """A program of the host has the umask of the runtime's caller, in the bundle's directory."""
    output = sandbox.directory / "output"
    script = f"umask >{output}; pwd -P >>{output}"
    made = failing(bundle(), sandbox, phase, script).set("/process/cwd", "/tmp")
    wrapper = ("sh", "-c", 'umask 037; exec "$@"', "sh")
    runtime.run(made, wrapper=wrapper).check()
    umask, directory = output.read_text().split()
    if runtime.is_ours:
        assert (umask, directory) == ("0037", str(made.path))


def test_poststop_outlives_the_bundle(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """Engines may remove that first; what the hook should take away is taken away all the same."""
    output = sandbox.directory / "output"
    made = failing(bundle(), sandbox, "poststop", f"pwd -P >{output}")
    container = runtime.create(made).check().container
    made.path.rename(made.path.with_name(made.path.name + "-moved"))
    assert runtime.delete(container, "--force").check().stderr == ""
    assert output.read_text() == "/\n"


def test_arguments(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """args has the program's own name in front, as execv(3) wants it."""
    output = sandbox.directory / "output"
    script = f'echo "$#" "$1" >{output}'
    made = failing(bundle(), sandbox, "createRuntime", script, args=["name", "one", "two"])
    runtime.create(made).check()
    assert output.read_text() == "2 one\n"


def test_missing_program(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/hooks", {"createRuntime": [{"path": "/no/such/hook"}]})
    assert_clear(runtime, runtime.create(made), "/no/such/hook")


def test_start_hook_is_looked_up_inside(runtime: Runtime, bundle: MakeBundle) -> None:
    """startContainer resolves its path in the container."""
    made = bundle(args=["cat", "/made"]).set("/hooks", {"startContainer": [{"path": "/hook"}]})
    (made.rootfs / "hook").write_text("#!/bin/sh\necho by the hook >/made\n")
    (made.rootfs / "hook").chmod(0o755)
    assert runtime.run(made).check().stdout == "by the hook\n"


def test_start_hook_in_the_pid_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    script = '#!/bin/sh\nread -r line\necho "$line" >/state\nreadlink /proc/self >/self\n'
    made = bundle(args=["cat", "/state", "/self"])
    made.set("/hooks", {"startContainer": [{"path": "/hook", "env": ["PATH=/bin"]}]})
    (made.rootfs / "hook").write_text(script)
    (made.rootfs / "hook").chmod(0o755)
    state, own = runtime.run(made).check().stdout.splitlines()
    assert json.loads(state)["pid"] == 1 or not runtime.is_ours
    assert 1 < int(own) < 100


def test_output_does_not_reach_the_caller(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """A hook's chatter is no part of what create says."""
    made = failing(bundle(), sandbox, "createRuntime", "echo chatter; echo noise >&2")
    result = runtime.create(made).check()
    assert result.stdout + result.stderr == "" or not runtime.is_ours


def test_large_output_does_not_hang(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890; i=$((i+1)); done"
    made = failing(bundle(), sandbox, "createRuntime", script)
    runtime.create(made).check()


def test_hook_that_reads_nothing(runtime: Runtime, bundle: MakeBundle) -> None:
    """Nor does a state that is larger than a pipe."""
    annotations = {f"key{number}": "x" * 1000 for number in range(200)}
    made = bundle(annotations=annotations).set("/hooks", {"createRuntime": [{"path": "/bin/true"}]})
    runtime.create(made).check()

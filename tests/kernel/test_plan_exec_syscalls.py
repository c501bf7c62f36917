"""`plan exec --syscalls` against strace(1): a real exec makes the calls that were foretold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.terminal import ConsoleSocket
from tests.support.bundle import Bundle
from tests.support.foretold import compare, entering_side
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime

MakeBundle = Callable[..., Bundle]

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def minimal(made: Bundle) -> None:
    """Namespaces and a program."""
    made.config["linux"] = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    made.config.pop("hostname", None)


def as_of_engines(made: Bundle) -> None:
    """A user of its own with groups, limits and capabilities, no new privileges, a filter."""
    process = made.config["process"]
    process["user"] = {"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27}
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1000, "hard": 4096}]
    kept = ["CAP_CHOWN", "CAP_KILL"]
    process["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted", "inheritable", "ambient"), kept
    )
    process["noNewPrivileges"] = True
    rules = [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}


def filtered_with_privileges(made: Bundle) -> None:
    """A filter that is loaded before the capabilities go, and an execution domain."""
    rules = [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    made.config["process"]["noNewPrivileges"] = False
    made.config["linux"]["personality"] = {"domain": "LINUX"}


def in_user_namespace(made: Bundle) -> None:
    """Ids that are not the host's."""
    mappings = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.add_namespace("user")
    made.config["linux"].update(uidMappings=mappings, gidMappings=mappings)


def without_mount_namespace(made: Bundle) -> None:
    """The root is that of the container's first process, by a descriptor."""
    linux = made.config["linux"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] == "pid"]
    for name in ("maskedPaths", "readonlyPaths", "sysctl"):
        linux.pop(name, None)
    made.config["mounts"] = []
    made.config.pop("hostname", None)


CHANGES = [
    minimal, as_of_engines, filtered_with_privileges, in_user_namespace, without_mount_namespace,
]  # fmt: skip

# Options of exec, and a program: by its path, and to be searched for, where HOME is known.
EXECS = [["/bin/true"], ["-e", "HOME=/", "--cwd", "/bin", "true"]]


@pytest.mark.parametrize("change", CHANGES)
def test_a_real_exec_makes_these_calls_in_this_order(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path, change: Callable[[Bundle], None]
) -> None:
    made = bundle(["/bin/sleep", "1000"])
    change(made)
    container = runtime.up(made)
    for number, (*options, program) in enumerate(EXECS):
        words = [*options, container, program]
        planned = runtime.call("plan", "exec", "--syscalls", "--format", "json", *words)
        document = planned.check().json()
        traces = tmp_path / str(number)
        traces.mkdir()
        wrapper = ("strace", "-ff", "-qq", "-s", "4096", "-o", str(traces / "of"))
        runtime.call("exec", *words, wrapper=wrapper).check()
        seen = entering_side(traces)
        compare(document, seen)
    at = [call.name for call in seen].index("setsid")
    for other in ([*seen[:at], *seen[at + 1 :]], [*seen[:at], seen[0], *seen[at:]]):
        with pytest.raises(AssertionError, match="otherwise"):
            compare(document, other)


def test_text_tells_the_same_and_nothing_is_done(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(["/bin/sleep", "1000"])
    container = runtime.up(made)
    before = runtime.ps(container).check().stdout
    done = runtime.call("plan", "exec", "--syscalls", container, "/bin/true").check()
    lines = done.stdout.splitlines()
    assert "  become the program:" in lines
    assert lines[-1] == '    execve("/bin/true", <arguments>, <environment>)'
    assert runtime.ps(container).check().stdout == before


@pytest.mark.parametrize("words", [["update", "--pids-limit", "7"], ["delete"]])
def test_what_has_no_process_inside_has_no_calls(
    runtime: Runtime, bundle: MakeBundle, words: list[str]
) -> None:
    made = bundle(["/bin/true"])
    container = runtime.create(made).check().container
    done = runtime.call("plan", words[0], "--syscalls", *words[1:], container)
    assert not done.ok
    assert f"plan {words[0]}: --syscalls tells the calls of a new process" in done.stderr


def test_a_terminal_is_made_by_these_calls(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path
) -> None:
    made = bundle(["/bin/sleep", "1000"])
    container = runtime.up(made)
    options = ("--tty", "--user", "7:8")
    words = [*options, container, "/bin/true"]
    planned = runtime.call("plan", "exec", "--syscalls", "--format", "json", *words)
    document = planned.check().json()
    wrapper = ("strace", "-ff", "-qq", "-s", "4096", "-o", str(tmp_path / "of"))
    with ConsoleSocket(runtime.sandbox.directory / "test-console") as engine:
        how = "--detach", "--console-socket", str(engine.path)
        runtime.call("exec", *how, *words, wrapper=wrapper).check()
        engine.receive(PATIENCE)
    compare(document, entering_side(tmp_path))

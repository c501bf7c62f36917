"""process: what the program finds when it starts (config.md, "Process")."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.test_namespaces import with_user_namespace
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
LINES = {
    "bounding": "Bnd",
    "effective": "Eff",
    "permitted": "Prm",
    "inheritable": "Inh",
    "ambient": "Amb",
}
NET_RAW, CHOWN, KILL = 1 << 13, 1 << 0, 1 << 5


def status(runtime: Runtime, bundle: Bundle) -> dict[str, str]:
    """/proc/self/status of the container's program."""
    output = runtime.run_output(bundle, ["cat", "/proc/self/status"])
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in output.splitlines()}


def test_args(runtime: Runtime, bundle: MakeBundle) -> None:
    arguments = ["a b", "", "c'\"d", "é", "-x", "$HOME", "\n"]
    output = runtime.run_output(bundle(), ["sh", "-c", 'printf "<%s>" "$@"', "sh", *arguments])
    assert output == "".join(f"<{argument}>" for argument in arguments)


def test_env(runtime: Runtime, bundle: MakeBundle) -> None:
    """What the config says, in its order, of two with one name the last, and HOME."""
    given = ["PATH=/nowhere", "A=1", "B=x=y", "EMPTY=", "A=2", "U=é", "PATH=/bin"]
    env = runtime.run_output(bundle().set("/process/env", given), ["env"]).splitlines()
    expected = ["B=x=y", "EMPTY=", "A=2", "U=é", "PATH=/bin"]
    if not runtime.is_ours:  # theirs has the places of the first
        env, expected = sorted(env), sorted(expected)
    assert [line for line in env if not line.startswith("HOME=")] == expected
    assert "HOME=/root" in env


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1000, "/home"), (4711, "/")])
def test_home(runtime: Runtime, bundle: MakeBundle, uid: int, home: str) -> None:
    made = bundle().set("/process/user", {"uid": uid, "gid": 0})
    assert runtime.run_output(made, "echo $HOME") == home + "\n"


def test_home_is_kept(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/env/-", "HOME=/mine")
    assert runtime.run_output(made, "echo $HOME") == "/mine\n"


@pytest.mark.parametrize("env", [["HOME="], ["HOME=/mine", "HOME="]])
def test_an_empty_home_is_none(runtime: Runtime, bundle: MakeBundle, env: list[str]) -> None:
    made = bundle()
    for entry in env:
        made.set("/process/env/-", entry)
    assert runtime.run_output(made, "echo $HOME") == "/root\n"


def test_cwd(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run_output(bundle().set("/process/cwd", "/tmp"), ["pwd"]) == "/tmp\n"


@pytest.mark.parametrize("capabilities", [True, False])
def test_cwd_that_the_user_may_not_enter(
    runtime: Runtime, bundle: MakeBundle, capabilities: bool
) -> None:
    """`WORKDIR /root` and `USER 42`: images have it, and engines run them."""
    made = bundle().set("/process/cwd", "/root").set("/process/user", {"uid": 42, "gid": 42})
    if not capabilities:
        made.set("/process/capabilities", {})
    (made.rootfs / "root").mkdir(exist_ok=True)
    (made.rootfs / "root").chmod(0o700)
    assert runtime.run_output(made, "pwd; id -u; ls / >/dev/null") == "/root\n42\n"
    made.set("/process/cwd", "/root/deep/inside")
    assert runtime.run_output(made, "pwd") == "/root/deep/inside\n"


def test_cwd_that_only_the_user_may_enter(runtime: Runtime, bundle: MakeBundle) -> None:
    """As on a file system that serves its owner only: root of the container is refused."""
    made = with_user_namespace(bundle()).set("/process/user", {"uid": 42, "gid": 42})
    (made.rootfs / "private").mkdir(mode=0o700)
    made.set("/process/cwd", "/private")
    os.chown(made.rootfs / "private", 42, 42)  # nobody's in there
    refused = runtime.run(made.shell("pwd"))
    assert_clear(runtime, refused, "working directory", "ermission denied", "/private")
    os.chown(made.rootfs / "private", 100_042, 100_042)
    assert runtime.run_output(made, "pwd; ls; echo >a") == "/private\n"


def test_missing_cwd_is_made(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(root={"readonly": True}).set("/process/cwd", "/new/work/dir")
    assert runtime.run_output(made, ["pwd"]) == "/new/work/dir\n"


def test_cwd_that_is_a_file(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/cwd", "/etc/passwd")
    assert_clear(runtime, runtime.create(made), "/etc/passwd")


def test_path_lookup(runtime: Runtime, bundle: MakeBundle) -> None:
    """args[0] without a slash is looked up in the container's PATH, in its order."""
    made = bundle().set("/process/env", ["PATH=/missing:/first:/second:/bin"])
    for name in ("first", "second"):
        (made.rootfs / name).mkdir()
        script = made.rootfs / name / "tool"
        script.write_text(f"#!/bin/sh\necho {name}\n")
        script.chmod(0o755)
    (made.rootfs / "first/tool").chmod(0o644)
    assert runtime.run_output(made, ["tool"]) == "second\n"


def test_relative_program(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run_output(bundle().set("/process/cwd", "/bin"), ["./echo", "x"]) == "x\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such-program", "executable file not found in $PATH"),
        ("/no/such/program", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "is a directory: permission denied"),
    ],
)
def test_program_that_cannot_be_run(
    runtime: Runtime, bundle: MakeBundle, program: str, words: str
) -> None:
    """Engines read these words (docker's exit status 126 and 127)."""
    if not runtime.is_ours:
        pytest.skip("the words of others differ")
    result = runtime.run(bundle(args=[program]))
    assert_clear(runtime, result, words, program)


def test_user(runtime: Runtime, bundle: MakeBundle) -> None:
    user = {"uid": 1234, "gid": 2345, "additionalGids": [5, 6, 7], "umask": 0o27}
    made = bundle().set("/process/user", user)
    assert (
        runtime.run_output(made, "id -u; id -g; id -G; umask") == "1234\n2345\n2345 5 6 7\n0027\n"
    )


def test_default_umask(runtime: Runtime, bundle: MakeBundle) -> None:
    assert runtime.run_output(bundle(), "umask") in ("0022\n", f"{current_umask():04o}\n")


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_capabilities(runtime: Runtime, bundle: MakeBundle) -> None:
    """All five sets."""
    both, one = ["CAP_NET_RAW", "CAP_CHOWN"], ["CAP_NET_RAW"]
    capabilities = {
        "bounding": [*both, "CAP_KILL"],
        "permitted": both,
        "effective": one,
        "inheritable": both,
        "ambient": one,
    }
    made = bundle().set("/process/capabilities", capabilities)
    made.set("/process/user", {"uid": 1000, "gid": 1000})
    found = status(runtime, made)
    values = {kind: int(found[f"Cap{LINES[kind]}"], 16) for kind in SETS}
    # execve(2) of an ordinary program keeps what is ambient, and the rest of the bounding set.
    assert values == {
        "bounding": NET_RAW | CHOWN | KILL,
        "permitted": NET_RAW,
        "effective": NET_RAW,
        "inheritable": NET_RAW | CHOWN,
        "ambient": NET_RAW,
    }


def test_root_capabilities(runtime: Runtime, bundle: MakeBundle) -> None:
    """For uid 0 execve(2) raises permitted and effective to the bounding set."""
    capabilities = {kind: ["CAP_CHOWN"] for kind in ("bounding", "permitted", "effective")}
    found = status(runtime, bundle().set("/process/capabilities", capabilities))
    values = [int(found[f"Cap{LINES[kind]}"], 16) for kind in SETS]
    assert values == [CHOWN, CHOWN, CHOWN, 0, 0]


@pytest.mark.parametrize("capabilities", [None, {}])
def test_no_capabilities(
    runtime: Runtime, bundle: MakeBundle, capabilities: dict[str, object] | None
) -> None:
    made = bundle().remove("/process/capabilities")
    if capabilities is not None:
        made.set("/process/capabilities", capabilities)
    found = status(runtime, made)
    assert {int(found[f"Cap{LINES[kind]}"], 16) for kind in SETS} == {0} or not runtime.is_ours


def test_unknown_capability(runtime: Runtime, bundle: MakeBundle) -> None:
    """A warning, and the container runs (config.md#process, capabilities)."""
    made = bundle(args=["true"])
    sets = made.config["process"]["capabilities"]
    sets["bounding"] = [*sets["bounding"], "CAP_NO_SUCH_THING"]
    result = runtime.run(made)
    if runtime.is_ours:
        assert result.ok, str(result)
        assert result.stderr.count("CAP_NO_SUCH_THING") == 1, "it is told once"


def test_rlimits(runtime: Runtime, bundle: MakeBundle) -> None:
    limits = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 1 << 63},
        {"type": "RLIMIT_NPROC", "soft": 5000, "hard": 6000},
        {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 2**64 - 1},
    ]
    made = bundle().set("/process/rlimits", limits)
    text = runtime.run_output(made, ["cat", "/proc/self/limits"])
    found = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
    assert found["Max open files"] == ["100", "200"]
    assert found["Max core file size"] == ["0", str(1 << 63)]
    assert found["Max processes"] == ["5000", "6000"]
    assert found["Max stack size"] == ["1048576", "unlimited"]


def test_tiny_descriptor_limit(runtime: Runtime, bundle: MakeBundle) -> None:
    """It is the program's, not the runtime's."""
    made = bundle().set("/process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}])
    assert "3" in runtime.run_output(made, ["sh", "-c", "ulimit -n"])


@pytest.mark.parametrize("value", [False, True])
def test_no_new_privileges(runtime: Runtime, bundle: MakeBundle, value: bool) -> None:
    made = bundle().set("/process/noNewPrivileges", value)
    assert status(runtime, made)["NoNewPrivs"] == str(int(value))


def test_no_new_privileges_for_users(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/user", {"uid": 1000, "gid": 1000})
    made.set("/process/noNewPrivileges", True)
    assert status(runtime, made)["NoNewPrivs"] == "1"


def test_oom_score_adj(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/oomScoreAdj", 321)
    assert runtime.run_output(made, ["cat", "/proc/self/oom_score_adj"]) == "321\n"


def test_oom_score_adj_is_left_alone(runtime: Runtime, bundle: MakeBundle) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    assert runtime.run_output(bundle(), ["cat", "/proc/self/oom_score_adj"]) == own


def test_session(runtime: Runtime, bundle: MakeBundle) -> None:
    """The program leads a session of its own."""
    output = runtime.run_output(bundle(), ["cat", "/proc/self/stat"]).rpartition(")")[2].split()
    assert output[2:4] == ["1", "1"]


def test_parent_death_signal(runtime: Runtime, bundle: MakeBundle) -> None:
    """A container outlives create and start."""
    container = runtime.up(bundle(args=["sleep", "100"]))
    assert runtime.status(container) == "running"


@pytest.mark.parametrize("pid", ["$$", "1", "2", ""])
def test_socket_activation(runtime: Runtime, bundle: MakeBundle, pid: str) -> None:
    """What systemd opened for us, or an engine for the container, is the container's; what was
    meant for another process is not (sd_listen_fds(3)).
    """
    if not runtime.is_ours and pid in ("1", ""):
        pytest.skip("runc takes its own pid only")
    made = bundle().shell("ls /proc/self/fd; env | grep LISTEN || :")
    listen = f"LISTEN_FDS=1 LISTEN_FDNAMES=web {f'LISTEN_PID={pid}' if pid else ''}"
    shell = ("/bin/bash", "-c", f'{listen} exec "$0" "$@" 3</dev/null 4</dev/null')
    lines = runtime.run(made, "--preserve-fds", "1", wrapper=shell).check().stdout.splitlines()
    if pid == "2":
        assert lines == ["0", "1", "2", "3", "4"]
        return
    assert lines[:6] == ["0", "1", "2", "3", "4", "5"]
    assert {"LISTEN_FDS=1", "LISTEN_PID=1"} <= set(lines)
    assert not runtime.is_ours or "LISTEN_FDNAMES=web" in lines


def test_socket_activation_without_the_socket(runtime: Runtime, bundle: MakeBundle) -> None:
    if not runtime.is_ours:
        pytest.skip("runc passes on whatever it has opened itself")
    shell = ("/bin/bash", "-c", 'LISTEN_FDS=2 LISTEN_PID=$$ exec "$0" "$@" 3</dev/null')
    assert_clear(runtime, runtime.run(bundle(args=["true"]), wrapper=shell), "LISTEN_FDS=2")


def test_preserve_fds(runtime: Runtime, bundle: MakeBundle) -> None:
    """The descriptors that were asked for, and no others."""
    ours, theirs = os.pipe()
    try:
        made = bundle().shell("echo kept >&3; ls /proc/self/fd | tr '\\n' ' '")
        # A shell puts it at 3: that number may be in use in this process.
        shell = ("/bin/bash", "-c", f'exec "$0" "$@" 3>&{theirs}')
        how: dict[str, Any] = {"pass_fds": (theirs,), "wrapper": shell}
        result = runtime.run(made, "--preserve-fds", "1", **how).check()
        assert os.read(ours, 100) == b"kept\n"
        # ls has its directory open as well
        assert result.stdout.split() == ["0", "1", "2", "3", "4"]
    finally:
        os.close(ours)
        os.close(theirs)

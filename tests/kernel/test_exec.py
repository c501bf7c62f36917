"""exec: what its options do, what its exit status says (docs/usage.md; runc's and crun's union)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.terminal import ConsoleSocket
from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.patience import PATIENCE
from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
HIERARCHIES = detect(Kernel()).hierarchies


@pytest.fixture
def container(runtime: Runtime, bundle: MakeBundle) -> str:
    return runtime.up(bundle(args=["sleep", "100"]))


def test_one_variable_of_a_name(runtime: Runtime, bundle: MakeBundle) -> None:
    """The last, also of those that the config gives twice; an empty HOME is none."""
    made = bundle(args=["sleep", "100"])
    for entry in ("A=1", "A=2", "HOME=/mine"):
        made.set("/process/env/-", entry)
    container = runtime.up(made)
    options = ("--env", "HOME=", "--env", "B=1", "--env", "B=2")
    lines = runtime.exec(container, "env", options=options).check().stdout.splitlines()
    assert sorted(line for line in lines if line[:2] in ("A=", "B=", "HO")) == [
        "A=2",
        "B=2",
        "HOME=/root",
    ]


def test_status_and_streams(runtime: Runtime, container: str) -> None:
    done = runtime.exec(container, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.status, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert runtime.exec(container, "sh", "-c", "kill -9 $$").status == 137
    # What looks like an option behind the id is the program's.
    assert runtime.exec(container, "echo", "-t", "--user").stdout == "-t --user\n"


def test_options_change_the_process(runtime: Runtime, container: str) -> None:
    options = ["--cwd", "/tmp", "-e", "ADDED=1", "--env=TERM=dumb", "-u", "1000:5", "-g", "7,8",
               "--additional-gids", "9", "--no-new-privs"]  # fmt: skip
    script = "pwd; id -u; id -g; id -G; echo $ADDED $TERM; grep NoNewPrivs /proc/self/status"
    done = runtime.exec(container, "sh", "-c", script, options=options).check()
    assert done.stdout.split() == ["/tmp", "1000", "5", "5", "7", "8", "9", "1", "dumb",
                                   "NoNewPrivs:", "1"]  # fmt: skip
    caps = "grep CapEff /proc/self/status"
    plain = runtime.exec(container, "sh", "-c", caps).check().stdout.split()[1]
    more = runtime.exec(container, "sh", "-c", caps, options=["-c", "CAP_SYS_PTRACE"]).check()
    assert int(more.stdout.split()[1], 16) == int(plain, 16) | 1 << 19


PROCESS = {"args": ["grep", "CapEff", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"]}
SETS = ("bounding", "permitted", "effective")
GRANTED = "00000000a80425fb"  # those of tests/support/config.py


@pytest.mark.parametrize(
    ("more", "option", "granted"),
    [
        ({}, (), GRANTED),
        ({}, ("--cap", "CAP_SYS_PTRACE"), "00000000a80c25fb"),
        ({"capabilities": {}}, (), "0" * 16),
        ({"capabilities": {name: ["CAP_KILL"] for name in SETS}}, (), f"{32:016x}"),
    ],
    ids=["container's", "more", "none", "own"],
)
def test_capabilities_of_a_process_file(
    runtime: Runtime, container: str, sandbox: Sandbox, more: Any, option: Any, granted: str
) -> None:
    """Without any it has the container's, as under runc and crun."""
    file = sandbox.directory / "process.json"
    file.write_text(json.dumps({**PROCESS, **more}))
    done = runtime.exec(container, options=["--process", str(file), *option]).check()
    assert done.stdout.split()[1] == granted or (option and not runtime.is_ours)


def test_what_is_left_out_of_a_process_file_is_told(
    runtime: Runtime, container: str, sandbox: Sandbox
) -> None:
    """As `create` tells it of config.json."""
    file = sandbox.directory / "process.json"
    file.write_text(json.dumps({**PROCESS, "env": ["PATH=/bin", "nameless"], "argv": []}))
    done = runtime.exec(container, options=["--process", str(file)]).check()
    if runtime.is_ours:
        assert "process.json: /env/1: the entry is not of the form NAME=value" in done.stderr
        assert "process.json: /argv" in done.stderr


def test_a_process_from_a_pipe(runtime: Runtime, container: str, sandbox: Sandbox) -> None:
    """FILE is what `<(...)` makes of it in a shell, or a FIFO that somebody will write to."""
    text = json.dumps(PROCESS).encode()
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    options = ["--process", "/dev/stdin"]
    try:
        done = runtime.exec(container, options=options, stdin=read).check()
    finally:
        os.close(read)
    assert done.stdout.split()[1] == GRANTED
    fifo = sandbox.directory / "fifo"
    os.mkfifo(fifo)
    late = "sleep 0.2; cat"  # the writer comes when the runtime waits already, most of the time
    with subprocess.Popen(["sh", "-c", f"{late} >{fifo}"], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(text)
        writer.stdin.close()
        done = runtime.exec(container, options=["--process", str(fifo)]).check()
    assert done.stdout.split()[1] == GRANTED


@pytest.mark.parametrize("text", [b"", b"{"])
def test_a_pipe_without_a_process(runtime: Runtime, container: str, text: bytes) -> None:
    read, write = os.pipe()
    os.write(write, text)
    os.close(write)
    try:
        done = runtime.exec(container, options=["--process", "/dev/stdin"], stdin=read)
    finally:
        os.close(read)
    assert_clear(runtime, done, "/dev/stdin", status=255)


def test_resources_from_a_pipe(runtime: Runtime, container: str) -> None:
    read, write = os.pipe()
    os.write(write, b'{"pids": {"limit": 55}}')
    os.close(write)
    try:
        runtime.call("update", "--resources", "/dev/stdin", container, stdin=read).check()
    finally:
        os.close(read)


def test_unknown_capability_is_a_warning(runtime: Runtime, container: str) -> None:
    """As one of config.json (config.md#linux-process), and as with runc."""
    options = ["--cap", "CAP_NONSENSE", "--cap", "CAP_SYS_PTRACE"]
    done = runtime.exec(container, "grep", "CapEff", "/proc/self/status", options=options).check()
    assert int(done.stdout.split()[1], 16) & 1 << 19
    assert "CAP_NONSENSE" in done.stderr


def test_empty_values_are_none(runtime: Runtime, container: str) -> None:
    """What a script's unset variables make of options."""
    names = ("--cwd", "--user", "--process", "--pid-file", "--console-socket", "--apparmor")
    options = [word for name in names for word in (name, "")]
    assert runtime.exec(container, "pwd", options=options).check().stdout == "/\n"


def test_process_file(runtime: Runtime, container: str, tmp_path: Path) -> None:
    """The form that engines use: nothing is taken over from the container's own process."""
    file = tmp_path / "process.json"
    process = {
        "args": ["sh", "-c", "id -u; pwd; env | sort; ulimit -n; cat /proc/self/oom_score_adj"],
        "cwd": "/tmp", "env": ["PATH=/bin", "ONE=1"], "user": {"uid": 12, "gid": 13},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}], "oomScoreAdj": 321,
    }  # fmt: skip
    file.write_text(json.dumps(process))
    done = runtime.exec(container, options=["--process", str(file)]).check()
    lines = done.stdout.split()
    assert lines[:2] == ["12", "/tmp"]
    assert "ONE=1" in lines
    assert lines[-2:] == ["50", "321"]
    file.write_text('{"args": ["true"]}')
    broken = runtime.exec(container, options=["--process", str(file)])
    assert_clear(runtime, broken, "cwd", status=255)


def test_detached(runtime: Runtime, container: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    options = ["--detach", "--pid-file", str(pid_file)]
    runtime.exec(container, "sleep", "99", options=options).check()
    pid = int(pid_file.read_text())
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    assert pid in runtime.ps(container, "--format", "json").check().json()
    init = runtime.pid(container)
    assert Path(f"/proc/{pid}/cgroup").read_text() == Path(f"/proc/{init}/cgroup").read_text()
    for name in ("mnt", "net", "pid", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{init}/ns/{name}")


def test_terminal(runtime: Runtime, container: str, sandbox: Sandbox) -> None:
    with ConsoleSocket(sandbox.directory / "test-console") as engine:
        options = ["--tty", "--detach", "--console-socket", str(engine.path)]
        runtime.exec(container, "sh", "-c", "tty; test -t 0 && echo yes", options=options).check()
        engine.receive(PATIENCE)
        assert engine.read(PATIENCE).split() == ["/dev/pts/0", "yes"]
    alone = runtime.exec(container, "true", options=["--tty", "--detach"])
    assert_clear(runtime, alone, "console-socket", status=255)


def test_pidfd_socket(runtime: Runtime, container: str, sandbox: Sandbox, tmp_path: Path) -> None:
    path = sandbox.directory / "test-pidfd"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        pid_file = tmp_path / "pid"
        options = ["--detach", "--pidfd-socket", str(path), "--pid-file", str(pid_file)]
        runtime.exec(container, "sleep", "99", options=options).check()
        connection, _ = listener.accept()
        with connection:
            text, fds, _, _ = socket.recv_fds(connection, 4096, 4)
    path.unlink()
    assert len(fds) == 1
    assert text == b"setns"
    info = Path(f"/proc/self/fdinfo/{fds[0]}").read_text()
    os.close(fds[0])
    assert f"\nPid:\t{pid_file.read_text()}\n" in info


@contextmanager
def inner_cgroups(pid: int, *keys: str) -> Iterator[list[Path]]:
    """A cgroup `inner` below a process's own in the hierarchies `keys` or all; removed at the
    end.
    """
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    own = {line.split(":")[1]: line.split(":", 2)[2] for line in lines}
    made = []
    try:
        for hierarchy in HIERARCHIES:
            if keys and hierarchy.key not in keys:
                continue
            parent = Path(hierarchy.mountpoint + own[hierarchy.key])
            (parent / "inner").mkdir()
            made.append(parent / "inner")
            for file in ("cpuset.cpus", "cpuset.mems"):
                if hierarchy.key and (parent / file).exists():
                    (made[-1] / file).write_text((parent / file).read_text())
        yield made
    finally:
        for path in made:
            path.rmdir()


def test_cgroup_below_the_containers(runtime: Runtime, container: str) -> None:
    with inner_cgroups(runtime.pid(container)) as made:
        options = ["--cgroup", "/inner"]
        done = runtime.exec(container, "cat", "/proc/self/cgroup", options=options).check()
        assert sum(line.endswith("/inner") for line in done.stdout.splitlines()) == len(made)


@pytest.mark.skipif(len(HIERARCHIES) < 2, reason="cgroup v2 has one hierarchy")
def test_cgroup_of_one_controller(runtime: Runtime, container: str) -> None:
    key = HIERARCHIES[0].key
    with inner_cgroups(runtime.pid(container), key):
        options = ["--cgroup", f"{key.partition(',')[0]}:inner"]
        done = runtime.exec(container, "cat", "/proc/self/cgroup", options=options).check()
    inner = [line for line in done.stdout.splitlines() if line.endswith("/inner")]
    assert [line.split(":")[1] for line in inner] == [key]


@pytest.mark.skipif(len(HIERARCHIES) < 4, reason="cgroup v2 has one hierarchy")
def test_cgroups_of_several_controllers(runtime: Runtime, container: str) -> None:
    """Each named controller's by its own option, two by one, and no other."""
    first, second, third = (one.key for one in HIERARCHIES[:3])
    names = [key.partition(",")[0] for key in (first, second, third)]
    with inner_cgroups(runtime.pid(container), first, second, third):
        options = ["--cgroup", f"{names[0]},{names[1]}:inner", "--cgroup", f"{names[2]}:/inner"]
        done = runtime.exec(container, "cat", "/proc/self/cgroup", options=options).check()
    inner = [line for line in done.stdout.splitlines() if line.endswith("/inner")]
    assert sorted(line.split(":")[1] for line in inner) == sorted([first, second, third])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("absent", ["no such cgroup", "/absent", "no such file or directory"]),
        ("../x", ["..", "without it"]),
        ("nonsense:x", ["nonsense", "there are"]),
    ],
)
def test_cgroup_that_cannot_be_joined(
    runtime: Runtime, container: str, value: str, words: list[str]
) -> None:
    done = runtime.exec(container, "true", options=["--cgroup", value])
    assert_clear(runtime, done, *words, status=255)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--no-such-option", "ID", "true"], ["unknown option"]),
        (["ID"], ["command"]),
        (["--user", "root", "ID", "true"], ["root", "numbers"]),
        (["--env", "NOVALUE", "ID", "true"], ["NOVALUE"]),
        (["--cwd", "relative", "ID", "true"], ["absolute"]),
        (["--preserve-fds", "9", "ID", "true"], ["preserve"]),
        (["ID", "no-such-program"], ["executable file not found in $PATH"]),
        (["ID", ""], ["executable file not found in $PATH"]),
        (["--cwd", "/etc/passwd", "ID", "true"], ["/etc/passwd", "not a directory"]),
        (["--process", "/no/such/file", "ID"], ["no such file or directory"]),
    ],
)
def test_failures_are_255(
    runtime: Runtime, container: str, words: list[str], said: list[str]
) -> None:
    done = runtime.call("exec", *[container if word == "ID" else word for word in words])
    assert_clear(runtime, done, *said, status=255)


def test_only_where_somebody_runs(runtime: Runtime, container: str, sandbox: Sandbox) -> None:
    missing = runtime.exec(sandbox.new_id(), "true")
    assert_clear(runtime, missing, "container does not exist", status=255)
    runtime.kill(container, "KILL").check()
    runtime.wait_for(container, "stopped")
    assert_clear(runtime, runtime.exec(container, "true"), "stopped", status=255)


def test_in_a_created_container(runtime: Runtime, bundle: MakeBundle) -> None:
    made: Any = bundle(args=["sleep", "100"])
    container = runtime.create(made).check().container
    assert runtime.exec(container, "echo", "early").check().stdout == "early\n"
    assert runtime.status(container) == "created"

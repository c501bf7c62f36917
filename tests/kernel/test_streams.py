"""Standard streams of a process without a terminal: the user may open them again, /dev/null is one
to read and to write, and what may be the host's stays as it is.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.test_namespaces import with_user_namespace
from tests.support.executed import execute, process
from tests.support.runtime import TIMEOUT

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
REOPEN = "echo out >/dev/stdout; echo err >/dev/stderr; read x </dev/stdin; echo $x"
# One line a stream: what it is, whether it can be written to, its flags.
LOOK = """
exec 3>/seen
for i in 0 1 2; do
  seen=$(stat -L -c %t:%T /proc/$$/fd/$i; readlink /proc/$$/fd/$i; grep flags /proc/$$/fdinfo/$i)
  echo "$seen" >&3
done
echo x && echo y >&2 && read z; echo $? >&3
"""
# O_RDWR, and O_LARGEFILE, which openat2(2) adds.
NULLS = ["1:3", "/dev/null", "flags:\t0100002"] * 3


def call(runtime: Runtime, sandbox: Sandbox, *args: str, **how: object) -> int:
    """Run the runtime with streams of the test's own."""
    command = [str(runtime.binary), "--root", str(runtime.root), *args]
    env = sandbox.environment()
    return subprocess.run(command, env=env, timeout=TIMEOUT, check=False, **how).returncode  # type: ignore[call-overload, no-any-return]


@contextmanager
def pipes() -> Iterator[dict[str, int]]:
    """Three pipes: the process's ends, the first with a line in it."""
    ends = [os.pipe() for _ in range(3)]
    os.write(ends[0][1], b"in\n")
    theirs = {"stdin": ends[0][0], "stdout": ends[1][1], "stderr": ends[2][1]}
    try:
        yield {**theirs, "output": ends[1][0], "errors": ends[2][0]}
    finally:
        for pair in ends:
            for fd in pair:
                os.close(fd)


@pytest.mark.parametrize("verb", ["run", "create", "exec"])
@pytest.mark.parametrize("uid", [0, 7])
@pytest.mark.parametrize("inside", [True, False], ids=["user namespace", "none"])
def test_pipes_can_be_opened_again(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, inside: bool, uid: int, verb: str
) -> None:
    made = with_user_namespace(bundle()) if inside else bundle()
    made.set("/process/user", {"uid": uid, "gid": 0}).shell(REOPEN)
    container = sandbox.new_id()
    runtime.created.append(container)
    with pipes() as ends:
        streams = {name: ends[name] for name in ("stdin", "stdout", "stderr")}
        if verb == "exec":
            made.args = ["sleep", "100"]
            container = runtime.up(made)
            status = call(runtime, sandbox, "exec", container, "sh", "-c", REOPEN, **streams)
        else:
            where = ("--bundle", str(made.write().path), container)
            status = call(runtime, sandbox, verb, *where, **streams)
        assert status == 0
        if verb == "create":
            runtime.start(container).check()
            runtime.wait_for(container, "stopped")
        owner = os.fstat(ends["output"]).st_uid
        if runtime.is_ours:  # crun cannot
            assert owner == (100_000 + uid if inside else uid)
            assert os.read(ends["output"], 100) == b"out\nin\n"
            assert os.read(ends["errors"], 100) == b"err\n"


@pytest.mark.parametrize("inside", [True, False], ids=["user namespace", "none"])
def test_null_to_read_is_null_to_write(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, inside: bool
) -> None:
    """containerd opens it so for a process whose streams nobody wants."""
    made = bundle().shell(LOOK)
    if inside:
        with_user_namespace(made)
        os.chown(made.rootfs, 100_000, 100_000)
    container = sandbox.new_id()
    runtime.created.append(container)
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        where = ("--bundle", str(made.write().path), container)
        assert call(runtime, sandbox, "run", *where, stdin=null, stdout=null, stderr=null) == 0
    finally:
        os.close(null)
    # Reading from it is at its end.
    assert (made.rootfs / "seen").read_text().splitlines() == [*NULLS, "1"]


def test_null_of_exec(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        wanted = process("sh", "-c", LOOK)
        said = execute(runtime, container, wanted, streams=(null, null, null))
    finally:
        os.close(null)
    assert said.status == 0
    assert (made.rootfs / "seen").read_text().splitlines() == [*NULLS, "1"]


def test_null_that_is_something_else(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """A /dev/null of the image's own is not opened: the stream is what the caller gave."""
    made = bundle().shell("echo x >&0; stat -L -c %t:%T /proc/self/fd/0").drop_mounts("/dev")
    made.bind(sandbox.directory, "/dev")
    fake = sandbox.directory / "null"
    fake.write_text("")
    made.set("/linux/devices", [])
    result = runtime.run(made)
    assert fake.read_text() == ""
    assert "1:3" in result.stdout or not result.ok


def test_a_fifo_is_the_hosts(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """It has a name, and its owner is who made it (CVE-2026-88265)."""
    container = runtime.up(bundle(args=["sleep", "100"]))
    path = sandbox.directory / "fifo"
    os.mkfifo(path, 0o600)
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        wanted = process("sh", "-c", "echo x", user={"uid": 7, "gid": 0})
        execute(runtime, container, wanted, streams=(fifo, fifo, fifo))
        assert os.read(fifo, 10) == b"x\n"
        assert_untouched(path)
        run = call(runtime, sandbox, "exec", "--user", "7", container, "echo", "x", stdout=fifo)
        assert run == 0
        assert_untouched(path)
    finally:
        os.close(fifo)


def assert_untouched(path: Path) -> None:
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o600)


# --- files, in the foreground -----------------------------------------------------------------


@contextmanager
def opened(path: Path, flags: int = 0) -> Iterator[int]:
    """A file of the host's that is nobody else's to open."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def foreground(
    runtime: Runtime, sandbox: Sandbox, made: Bundle, verb: str, script: str, *options: str,
    **how: object,
) -> int:  # fmt: skip
    """`run` of the bundle with this script, or `exec` of it in the bundle's container."""
    if verb == "run":
        made.shell(script).write()
        container = sandbox.new_id()
        runtime.created.append(container)
        words = ("run", "--bundle", str(made.path), *options, container)
    else:
        made.args = ["sleep", "100"]
        words = ("exec", *options, runtime.up(made), "sh", "-c", script)
    return call(runtime, sandbox, *words, **how)


@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("inside", [True, False], ids=["user namespace", "none"])
def test_files_can_be_opened_again(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, inside: bool, uid: int, verb: str
) -> None:
    """... in effect: who could not open the file has a pipe to us, and we write to the file."""
    if not runtime.is_ours:
        pytest.skip("crun gives the file away, or refuses")
    made = with_user_namespace(bundle()) if inside else bundle()
    made.set("/process/user", {"uid": uid, "gid": 0})
    path = sandbox.directory / "output"
    script = "readlink /proc/self/fd/1; for i in 1 2 3; do echo $i >>/dev/stdout; echo e$i >&2"
    script += "; done"
    with opened(path, os.O_APPEND) as file:
        assert foreground(runtime, sandbox, made, verb, script, stdout=file, stderr=file) == 0
    what, *lines = path.read_text().splitlines()
    assert what.startswith("pipe:") == (inside or uid != 0)
    assert lines == ["1", "e1", "2", "e2", "3", "e3"]
    assert_untouched(path)


def test_all_of_a_long_output(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """It is appended where the caller said so, and nothing is missing at the end."""
    made = bundle().set("/process/user", {"uid": 1000, "gid": 0})
    path = sandbox.directory / "output"
    path.write_text("before\n")
    script = "seq 200000; exit 3"
    with opened(path, os.O_APPEND) as file:
        assert foreground(runtime, sandbox, made, "run", script, stdout=file) == 3
    wanted = ["before", *map(str, range(1, 200_001))]
    assert path.read_text().splitlines() == wanted


def test_with_joined_namespaces_and_descriptors(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox
) -> None:
    """Whatever else the process gets, it gets as well."""
    other = runtime.pid(runtime.up(bundle(args=["sleep", "100"])))
    made = bundle().drop_namespace("network").add_namespace("network", f"/proc/{other}/ns/net")
    made.set("/process/user", {"uid": 1000, "gid": 0})
    path, given = sandbox.directory / "output", sandbox.directory / "given"
    given.write_text("given\n")
    # Of two open files, the one at 3 is handed on.
    script = "cat <&3; echo >&4 2>/dev/null || echo no 4"
    with opened(path) as file, opened(given) as descriptor:
        command = 'exec "$@" 3<&0'
        words = ["run", "--bundle", str(made.shell(script).write().path), "--preserve-fds", "1"]
        container = sandbox.new_id()
        runtime.created.append(container)
        words = [str(runtime.binary), "--root", str(runtime.root), *words, container]
        done = subprocess.run(
            ["sh", "-c", command, "sh", *words],
            stdin=descriptor, stdout=file, env=sandbox.environment(), check=False,
            timeout=TIMEOUT,
        )  # fmt: skip
    assert done.returncode == 0
    assert path.read_text() == "given\nno 4\n"


def test_detached(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    """Nobody stays who could write to the file: it is the process's, and still nobody else's."""
    made = bundle().set("/process/user", {"uid": 1000, "gid": 0}).shell("echo x")
    path = sandbox.directory / "output"
    container = sandbox.new_id()
    runtime.created.append(container)
    with opened(path) as file:
        words = ("run", "--detach", "--bundle", str(made.write().path), container)
        assert call(runtime, sandbox, *words, stdout=file) == 0
    runtime.wait_for(container, "stopped")
    assert path.read_text() == "x\n"
    if runtime.is_ours:
        assert_untouched(path)

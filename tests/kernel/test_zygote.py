"""The zygote: what it makes, what it tells, what it keeps away from containers."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ociruntime.errors import AlreadyExists, NotFound, OciError, SpecError, StepError, WrongStatus
from ociruntime.zygote.client import Client, ZygoteGone
from ociruntime.zygote.server import MOST_IDLE
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox
from tests.support.zygote import User


@pytest.fixture
def client(runtime_binary: Path) -> Iterator[Client]:
    with Client.spawn(str(runtime_binary)) as made:
        yield made


@pytest.fixture
def user(client: Client, sandbox: Sandbox) -> Iterator[User]:
    made = User(client, sandbox)
    yield made
    if not client.closed:
        for container in made.made:
            try:
                made.call("delete", container, force=True)
            except NotFound:
                continue


def pipe_fds() -> tuple[int, int]:
    return os.pipe2(os.O_CLOEXEC)


def read_end(fd: int) -> str:
    with open(fd, "rb") as file:
        return file.read().decode()


def test_one_life(user: User, bundle: Callable[..., Bundle]) -> None:
    output, write = pipe_fds()
    fds = {"stdout": write}
    container, made = user.make("create", bundle().shell("echo hello; exit 7"), fds=fds)
    os.close(write)
    assert made.result is not None
    state = user.call("state", container).result
    assert state is not None
    assert (state["status"], state["pid"]) == ("created", made.result["pid"])
    user.call("start", container)
    ended = user.wait(made.number)
    assert (ended.code, ended.signal, ended.pid) == (7, 0, made.result["pid"])
    assert abs(ended.time - time.time_ns()) < PATIENCE * 1e9
    assert read_end(output) == "hello\n"
    user.call("delete", container)
    with pytest.raises(NotFound, match="container does not exist"):
        user.call("state", container)


def test_run_is_create_and_start_in_one(user: User, bundle: Callable[..., Bundle]) -> None:
    container, made = user.make("run", bundle(["/bin/true"]))
    assert user.wait(made.number).code == 0
    user.call("delete", container)


def test_signals_end_as_shells_show_them(user: User, bundle: Callable[..., Bundle]) -> None:
    container, made = user.make("run", bundle(["/bin/sleep", "100"]))
    with pytest.raises(WrongStatus, match="not stopped"):
        user.call("delete", container)
    user.call("kill", container, signal=int(signal.SIGKILL))
    ended = user.wait(made.number)
    assert (ended.code, ended.signal) == (137, 9)


def test_pidfd_is_of_the_process(user: User, bundle: Callable[..., Bundle]) -> None:
    container = user.sandbox.new_id()
    path = str(bundle(["/bin/sleep", "100"]).write().path)
    made = user.call("run", container, bundle=path)
    (pidfd,) = made.fds
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)  # init of a pid namespace ignores it
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], PATIENCE)[0]
    os.close(pidfd)
    assert user.wait(made.number).signal == signal.SIGKILL


def test_exec_and_its_exit(user: User, bundle: Callable[..., Bundle]) -> None:
    container, made = user.make("run", bundle(["/bin/sleep", "100"]))
    output, write = pipe_fds()
    process = {"args": ["/bin/sh", "-c", "echo $WORD; exit 3"], "cwd": "/", "env": ["WORD=one"]}
    reply = user.call("exec", container, process=process, fds={"stdout": write})
    os.close(write)
    for fd in reply.fds:
        os.close(fd)
    assert user.wait(reply.number).code == 3
    assert read_end(output) == "one\n"
    assert made.number not in user.exits


def test_what_is_left_out_is_told(user: User, bundle: Callable[..., Bundle]) -> None:
    """As by the command line; what the container's own process lacks, `create` has told."""
    made = bundle(["/bin/sleep", "100"])
    made.config["process"]["env"].append("nameless")
    container, reply = user.make("run", made)
    assert reply.result is not None
    assert "/process/env/3: the entry is not" in "".join(reply.result["warnings"])

    def warned(operation: str, **parameters: object) -> str:
        reply = user.call(operation, container, **parameters)
        reply.close()
        return "".join(reply.take()["warnings"])

    assert warned("exec", changes={"args": ["/bin/true"]}) == ""
    process = {"args": ["/bin/true"], "cwd": "/", "env": ["other"]}
    assert "/env/0: the entry is not" in warned("exec", process=process)
    assert "pids/limits" in warned("update", resources={"pids": {"limit": 50, "limits": 60}})


def test_errors_keep_their_class_and_text(user: User, bundle: Callable[..., Bundle]) -> None:
    container, _ = user.make("create", bundle())
    with pytest.raises(AlreadyExists):
        user.call("create", container, bundle=str(bundle().write().path))
    with pytest.raises(StepError, match="ENOENT") as caught:
        user.make("create", bundle().bind("/nonexistent/source", "/mnt"))
    assert caught.value.number == 2
    assert "mounts[" in caught.value.step
    with pytest.raises(SpecError) as refused:
        user.make("create", bundle().set("/process/cwd", "relative"))
    assert "cwd" in str(refused.value)
    with pytest.raises(OciError, match="process"):
        user.call("exec", container, process={"args": []})
    with pytest.raises(OciError, match='exec: "/missing": '):
        user.make("run", bundle(["/missing"]))


def test_container_gets_nothing_of_the_zygote(user: User, bundle: Callable[..., Bundle]) -> None:
    output, write = pipe_fds()
    listing = bundle().shell("for f in /proc/self/fd/*; do echo ${f##*/} $(readlink $f); done")
    _, made = user.make("run", listing, fds={"stdout": write})
    os.close(write)
    user.wait(made.number)
    lines = [line.split() for line in read_end(output).splitlines()]
    # 3 is the directory that the shell lists.
    assert [line[0] for line in lines if line[0] != "3"] == ["0", "1", "2"]
    by_number = dict(line for line in lines if len(line) == 2)
    assert by_number["0"] == by_number["2"] == "/dev/null"


def test_preserved_descriptors_start_at_three(user: User, bundle: Callable[..., Bundle]) -> None:
    output, write = pipe_fds()
    _, made = user.make(
        "run",
        bundle().shell("echo three >&3; echo four >&4"),
        fds={"preserve0": write, "preserve1": write},
    )
    os.close(write)
    user.wait(made.number)
    assert read_end(output) == "three\nfour\n"


def test_zygote_is_sealed_and_opens_nothing(client: Client) -> None:
    assert client.wait_readable(PATIENCE)
    client.receive()
    executable = os.readlink(f"/proc/{client.pid}/exe")
    assert executable.startswith("/memfd:ociruntime")
    directory = Path(f"/proc/{client.pid}/fd")
    names = [os.readlink(entry) for entry in directory.iterdir()]
    assert [name for name in names if name.startswith("/") and name != "/dev/null"] == []


def test_zygote_is_not_dumpable(runtime_binary: Path, sandbox: Sandbox) -> None:
    # Files of /proc/PID belong to root's group, not to the process's, when it is not dumpable.
    script = sandbox.directory / "launcher"
    script.write_text(f"#!/bin/sh\nexec setpriv --regid 4711 --clear-groups {runtime_binary} $@\n")
    script.chmod(0o755)
    with Client.spawn(str(script)) as client:
        assert client.wait_readable(PATIENCE)
        client.receive()
        assert "\t4711\t" in Path(f"/proc/{client.pid}/status").read_text()
        assert Path(f"/proc/{client.pid}/environ").stat().st_gid == 0


def test_secrets_of_a_request_do_not_stay(user: User, bundle: Callable[..., Bundle]) -> None:
    """A later child has a copy of the zygote's memory."""
    container, _ = user.make("run", bundle(["/bin/sleep", "100"]))
    secret = "s3cret" + "-of-" + "one-exec"
    process = {"args": ["/bin/true"], "cwd": "/", "env": [f"PASSWORD={secret}"]}
    reply = user.call("exec", container, process=process)
    os.close(reply.fds[0])
    user.wait(reply.number)
    user.call("state", container)
    found = 0
    with (
        open(f"/proc/{user.client.pid}/maps") as maps,
        open(f"/proc/{user.client.pid}/mem", "rb", buffering=0) as memory,
    ):
        for line in maps:
            span, permissions = line.split()[:2]
            if "w" not in permissions:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            memory.seek(start)
            found += memory.read(end - start).count(secret.encode())
    assert found == 0


def test_large_request_and_reply(user: User, bundle: Callable[..., Bundle]) -> None:
    wide = {f"key{number}": "x" * 1000 for number in range(300)}
    container, made = user.make("run", bundle(["/bin/sleep", "100"], annotations=wide))
    state = user.call("state", container).result
    assert state is not None
    assert state["annotations"] == wide
    env = [f"V{number}={'y' * 1000}" for number in range(100)]
    process = {"args": ["/bin/sh", "-c", "test ${#V99} = 1000"], "cwd": "/", "env": env}
    reply = user.call("exec", container, process=process)
    os.close(reply.fds[0])
    assert user.wait(reply.number).code == 0
    assert made.number not in user.exits


def test_many_at_once_and_no_zombies(user: User, bundle: Callable[..., Bundle]) -> None:
    paths = {user.sandbox.new_id(): str(bundle(["/bin/true"]).write().path) for _ in range(12)}
    user.made += paths
    root = str(user.sandbox.root)
    numbers = [
        user.client.send("run", {"root": root, "id": name, "bundle": path})
        for name, path in paths.items()
    ]
    for number in numbers:
        assert user.wait(number).code == 0
        reply = user.replies[number]
        reply.take()
        os.close(reply.fds[0])
    for name in paths:
        user.call("delete", name)
    only_idle_ones_stay(user)


def only_idle_ones_stay(user: User) -> None:
    """Wait until the zygote has no children but those that are kept for requests."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [name_of(pid) for pid in children(user.client.pid)]
        if len(found) <= MOST_IDLE and set(found) <= {"oci-zygote"}:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def test_child_makes_container_after_container(
    user: User, bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    """Their ends are told at once, also while it makes the next one."""
    _, made = user.make("create", bundle(["/bin/sleep", "100"]))
    worker = workers(user)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"read x < {fifo}"]}
    second = user.sandbox.new_id()
    user.made.append(second)
    path = str(bundle(["/bin/true"], hooks={"createRuntime": [hook]}).write().path)
    root = str(user.sandbox.root)
    number = user.client.send("create", {"root": root, "id": second, "bundle": path})
    with fifo.open("w") as blocked:  # the hook runs
        made.take()
        assert made.result is not None
        os.kill(made.result["pid"], signal.SIGKILL)
        assert user.wait(made.number).signal == signal.SIGKILL
        assert number not in user.replies
        blocked.write("go on\n")
    user.receive_until(lambda: number in user.replies)
    reply = user.replies[number]
    reply.take()
    os.close(reply.fds[0])
    assert workers(user) == worker
    user.call("start", second)
    assert user.wait(number).code == 0


def test_process_that_ends_before_it_was_reported(
    user: User, bundle: Callable[..., Bundle]
) -> None:
    """How it ended is told, although it is the zygote's child and not the maker's."""
    script = "kill -9 $(sed 's/.*\"pid\": *//; s/[^0-9].*//')"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
    # On a slow machine the hook may be seen to run for nobody.
    with pytest.raises(OciError, match=r"killed by signal 9|first process has ended"):
        user.make("create", bundle(["/bin/true"], hooks={"createRuntime": [hook]}))
    only_idle_ones_stay(user)
    assert user.exits == {}


def test_child_serves_again_unless_it_failed(
    user: User, bundle: Callable[..., Bundle]
) -> None:
    container, _ = user.make("run", bundle(["/bin/sleep", "100"]))
    seen = set()
    for _ in range(3):
        user.call("state", container)
        seen.add(workers(user))
    assert len(seen) == 1
    worker = seen.pop()
    descriptors = Path(f"/proc/{worker}/fd")
    assert len(list(descriptors.iterdir())) == 4
    with pytest.raises(NotFound):
        user.client.call("state", {"root": str(user.sandbox.root), "id": "nobody"})
    user.call("state", container)
    assert workers(user) != worker


def workers(user: User) -> str:
    """The pid of the child that is kept, once those that have served are gone."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = [pid for pid in children(user.client.pid) if name_of(pid) == "oci-zygote"]
        if len(found) == 1:
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it ended meanwhile


def test_busy_child_does_not_delay_others(
    user: User, bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"read x < {fifo}"]}
    slow, _ = user.make("create", bundle(["/bin/true"], hooks={"poststart": [hook]}))
    other, made = user.make("create", bundle(["/bin/true"]))
    root = str(user.sandbox.root)
    number = user.client.send("start", {"root": root, "id": slow})
    user.call("start", other)
    assert user.wait(made.number).code == 0
    assert number not in user.replies
    fifo.write_text("go on\n")
    user.call("delete", other)
    user.receive_until(lambda: number in user.replies)
    user.replies[number].take()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_orphans_of_a_container_are_reaped_silently(
    user: User, bundle: Callable[..., Bundle]
) -> None:
    orphan = bundle().drop_namespace("pid").shell("(sleep 0.2 &) ; exit 0")
    container, made = user.make("run", orphan)
    user.wait(made.number)
    only_idle_ones_stay(user)
    user.call("delete", container)
    assert list(user.exits) == [made.number]


def test_killed_child_is_an_error_and_no_more(user: User, bundle: Callable[..., Bundle]) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}
    with pytest.raises(OciError, match="killed by signal 9 before it was done"):
        user.make("create", bundle(hooks={"createRuntime": [hook]}))
    container, made = user.make("run", bundle(["/bin/true"]))
    user.wait(made.number)
    user.call("delete", container)


def test_any_command_line(user: User, bundle: Callable[..., Bundle]) -> None:
    container, _ = user.make("run", bundle(["/bin/sleep", "100"]))
    output, write = pipe_fds()
    words = ["--root", str(user.sandbox.root), "ps", "--format", "json", container]
    reply = user.client.call("command", {"arguments": words}, {"stdout": write})
    os.close(write)
    assert reply.result == {"status": 0}
    assert read_end(output).startswith("[")


def test_end_of_the_program_ends_the_zygote_only(
    runtime_binary: Path, sandbox: Sandbox, bundle: Callable[..., Bundle], client: Client
) -> None:
    first = Client.spawn(str(runtime_binary))
    container = sandbox.new_id()
    path = str(bundle(["/bin/sleep", "100"]).write().path)
    known = {"root": str(sandbox.root), "id": container}
    made = first.call("run", {**known, "bundle": path})
    os.close(made.fds[0])
    first.close()
    state = client.call("state", known).result
    assert state is not None
    assert state["status"] == "running"
    client.call("delete", {**known, "force": True})


def test_death_of_the_zygote_is_told(runtime_binary: Path) -> None:
    with Client.spawn(str(runtime_binary)) as client:
        assert client.wait_readable(PATIENCE)
        client.receive()
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(ZygoteGone):
            client.call("state", {"root": "/nonexistent", "id": "x"})


def test_more_requests_than_descriptors(
    runtime_binary: Path, sandbox: Sandbox, bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    """Those that do not fit are refused; the zygote and the others live on."""
    release = tmp_path / "release"
    os.mkfifo(release)  # all are in the works at once: a hook's open(2) waits for the writer
    hooks = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"exec < {release}"]}]}
    paths = {
        sandbox.new_id(): str(bundle(["/bin/true"], hooks=hooks).write().path) for _ in range(60)
    }
    with Client.spawn(str(runtime_binary)) as client:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (40, hard))
        user = User(client, sandbox)
        root = str(sandbox.root)
        numbers = [
            client.send("create", {"root": root, "id": name, "bundle": path}, {"stdout": 2})
            for name, path in paths.items()
        ]
        user.receive_until(lambda: any(reply.error for reply in user.replies.values()))
        writer = os.open(release, os.O_RDWR)
        user.receive_until(lambda: len(user.replies) == len(numbers))
        os.close(writer)
        refused = [reply.error for reply in user.replies.values() if reply.error]
        for number, name in zip(numbers, paths, strict=True):
            user.replies[number].close()
            if user.replies[number].error is None:
                client.call("delete", {"root": root, "id": name, "force": True})
        assert 0 < len(refused) < len(numbers)
        texts = {str(error) for error in refused}
        assert all("raise the limit of open files" in text for text in texts), texts


def test_last_words_of_a_command_that_is_no_zygote() -> None:
    with pytest.raises(ZygoteGone, match="ls: "), Client.spawn("/bin/ls") as client:
        client.call("state", {"root": "/nonexistent", "id": "x"})

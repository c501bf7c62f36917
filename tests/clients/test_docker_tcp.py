"""Docker over TCP on loopback: what a client elsewhere does, streams and terminals included."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.engines.docker import CLIENT, PORT, DockerWith
from tests.support.engines.host import RESIZED, Done

HOST = (CLIENT, "--host", f"tcp://127.0.0.1:{PORT}")
Remote = Callable[..., Done]


@pytest.fixture
def remote(docker: DockerWith) -> Remote:
    """The client, talking TCP."""

    def call(*words: str, stdin: str | None = None) -> Done:
        return docker.host.run(*HOST, *words, stdin=stdin)

    return call


def test_streams_and_exit_status(docker: DockerWith, remote: Remote) -> None:
    script = "cat; echo err >&2; exit 7"
    words = docker.words("run", "--rm", "-i", "--", "sh", "-c", script)[1:]
    done = remote(*words, stdin="typed")
    assert (done.stdout, done.stderr, done.status) == ("typed", "err\n", 7)
    assert remote(*docker.words("run", "--rm", "--", "no-such-program")[1:]).status == 127


def test_terminals(docker: DockerWith) -> None:
    """The connection of an attached container, or exec, is taken over from HTTP."""
    words = docker.words("run", "--rm", "-it", "--", "sh")[1:]
    done = docker.host.terminal(*HOST, *words, keys=f"tty; {RESIZED}", leave=5)
    assert done.status == 5, done
    assert "/dev/pts/0" in done.stdout
    container = docker.up("--", "sleep", "1000")
    keys = RESIZED
    done = docker.host.terminal(*HOST, "exec", "-it", container, "sh", keys=keys, leave=4)
    assert done.status == 4, done
    assert "\n42\n" in done.stdout


def test_a_running_container(docker: DockerWith, remote: Remote) -> None:
    begin = docker.host.shell("date +%s.%N").strip()
    words = ("run", "--detach", "--memory", "50m", "--", "sh", "-c", "echo up; exec sleep 1000")
    container = remote(*docker.words(*words)[1:]).check().output
    log = docker.docker.directory / "dockerd.log"
    seen = lambda: remote("logs", container).stdout == "up\n"  # noqa: E731
    docker.host.wait_until(seen, "its output", log)
    done = remote("exec", "-i", container, "sh", "-c", "cat; exit 9", stdin="typed")
    assert (done.stdout, done.status) == ("typed", 9)
    assert "sleep 1000" in remote("top", container).check().stdout
    stats = remote("stats", "--no-stream", "--format", "{{json .}}", container).check().stdout
    assert json.loads(stats)["MemUsage"].endswith("/ 50MiB")
    remote("kill", container).check()
    assert remote("wait", container).check().output == "137"
    end = docker.host.shell("date +%s.%N").strip()
    words = ("events", "--since", begin, "--until", end, "--filter", f"container={container}")
    actions = remote(*words, "--format", "{{.Action}}").check().stdout.splitlines()
    assert {"create", "start", "kill", "exec_die"} <= set(actions)


def test_attached_from_both_sides(docker: DockerWith, remote: Remote) -> None:
    """What one client starts another one, on the Unix socket, sees, and the other way round."""
    container = remote(*docker.words("create", "-i", "--", "cat")[1:]).check().output
    done = remote("start", "--attach", "--interactive", container, stdin="first\n")
    assert (done.stdout, done.status) == ("first\n", 0)
    assert docker("logs", container).check().stdout == "first\n"
    done = docker("start", "--attach", "--interactive", container, stdin="second\n")
    assert done.stdout == "second\n"
    assert remote("logs", container).check().stdout == "first\nsecond\n"

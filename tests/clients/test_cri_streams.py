"""kubectl's exec -it, attach, port-forward and logs -f, on the streams that the CRI gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.engines.compared import with_own
from tests.support.engines.cri import RUNNING, MakePod, Pod
from tests.support.engines.streaming import STDERR, STDIN, STDOUT, Stream, stream

# Where the time is short, one daemon for all pods stands for one a pod.
everyone = pytest.mark.parametrize(
    "pod", with_own("shim", *with_own("runc", "ociruntime", "node")), indirect=True
)
ECHO = 'echo up; while read -r line; do echo "got $line"; echo "err $line" >&2; done; exit 7'


@contextmanager
def opened(made: Pod, method: str, **values: object) -> Iterator[Stream]:
    """A stream of this method of the CRI."""
    with stream(made.host.init, made.cri(method, **values)["url"]) as connection:
        yield connection


@everyone
def test_exec_on_a_terminal(pod: MakePod) -> None:
    """`kubectl exec -it`: the size is told before and after; the status is that of the shell."""
    made = pod()
    container = made.start("first", "sleep", "1000")
    script = """trap 'echo interrupted; exit 9' INT; tty
        until [ "$(stty size)" = '40 100' ]; do :; done; echo first
        until [ "$(stty size)" = '30 80' ]; do :; done; echo second
        read -r line; echo "got $line"; while :; do sleep 0.05; done"""
    values = {"container_id": container, "cmd": ["sh", "-c", script],
              "tty": True, "stdin": True, "stdout": True}  # fmt: skip
    with opened(made, "Exec", **values) as shell:
        shell.resize(40, 100)
        assert b"/dev/pts/" in shell.wait_for(STDOUT, b"first")
        shell.resize(30, 80)
        shell.wait_for(STDOUT, b"second")
        shell.send(STDIN, b"words\n")
        shell.wait_for(STDOUT, b"got words")
        shell.send(STDIN, b"\x03")
        shell.wait_for(STDOUT, b"interrupted")
        assert shell.end() == 9


@everyone
def test_exec_with_streams(pod: MakePod) -> None:
    """`kubectl exec -i`: what goes in comes back as it was, stderr apart, in any amount."""
    made = pod()
    container = made.start("first", "sleep", "1000")
    script = f"echo err >&2; head -c {1 << 20} | md5sum; exit 5"
    values = {"container_id": container, "cmd": ["sh", "-c", script],
              "stdin": True, "stdout": True, "stderr": True}  # fmt: skip
    with opened(made, "Exec", **values) as process:
        for _ in range(32):
            process.send(STDIN, b"\0" * (1 << 15))
        assert process.end() == 5
        # md5sum of a mebibyte of zeros, as coreutils' says.
        assert process.said[STDOUT] == b"b6d81b360a5672d80c27430f39153e2c  -\n"
        assert process.said[STDERR] == b"err\n"


@everyone
def test_attach(pod: MakePod) -> None:
    """`kubectl attach -i`, left and taken up again; all is in the log, whoever listens."""
    made = pod()
    container = made.start("first", "sh", "-c", ECHO, stdin=True)
    made.wait_for_log("first", 1)
    values = {"container_id": container, "stdin": True, "stdout": True, "stderr": True}
    for word in (b"one", b"two"):
        with opened(made, "Attach", **values) as attached:
            attached.send(STDIN, word + b"\n")
            assert attached.wait_for(STDOUT, b"got " + word) == b"got " + word + b"\n"
            assert attached.wait_for(STDERR, b"err " + word) == b"err " + word + b"\n"
        assert made.status(container)["state"] == RUNNING
    assert sorted(made.wait_for_log("first", 5)) == [
        "stderr F err one", "stderr F err two", "stdout F got one", "stdout F got two",
        "stdout F up",
    ]  # fmt: skip


@everyone
def test_attach_to_a_terminal(pod: MakePod) -> None:
    made = pod()
    container = made.start("first", "sh", stdin=True, tty=True)
    values = {"container_id": container, "stdin": True, "stdout": True, "tty": True}
    with opened(made, "Attach", **values) as attached:
        attached.resize(40, 100)
        attached.send(STDIN, b"until [ \"$(stty size)\" = '40 100' ]; do :; done; echo f''irst\n")
        attached.wait_for(STDOUT, b"first")
    with opened(made, "Attach", **values) as attached:
        attached.send(STDIN, b"stty size; echo se''cond\n")
        assert b"40 100" in attached.wait_for(STDOUT, b"second")
        attached.send(STDIN, b"exit 3\n")
        assert made.wait_for_end(container)["exit_code"] == 3


@everyone
def test_log_is_rotated(pod: MakePod) -> None:
    """`kubectl logs -f` while the kubelet rotates: each line is in one of the files, in order; a
    long one in parts.
    """
    made = pod()
    script = f"""i=0; until [ -e /end ]; do i=$((i+1)); echo $i; sleep 0.01; done
        head -c {100 << 10} /dev/zero | tr '\\0' x; echo"""
    container = made.start("first", "sh", "-c", script)
    path = made.logs / "first.log"
    for number in range(3):
        made.wait_for_log("first", 5)
        path.rename(path.with_suffix(f".{number}"))
        made.cri("ReopenContainerLog", container_id=container)
    made.wait_for_log("first", 5)
    made.shell(container, ": >/end")
    assert made.wait_for_end(container)["exit_code"] == 0
    files = [path.with_suffix(f".{number}") for number in range(3)] + [path]
    lines = [line.split(" ", 3)[2:] for file in files for line in file.read_text().splitlines()]
    long = [text for tag, text in lines if text.startswith("x")]
    assert "".join(long) == "x" * (100 << 10)
    assert [tag for tag, text in lines if text.startswith("x")][-1] == "F"
    numbers = [int(text) for _, text in lines if text and not text.startswith("x")]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("pod", with_own("runc", "ociruntime", "node"), indirect=True)
def test_port_forward(pod: MakePod) -> None:
    """`kubectl port-forward` to a server that listens on the pod's loopback device alone."""
    made = pod(network=True)
    serve = "echo served >/name; exec httpd -f -p 127.0.0.1:7777 -h /"
    container = made.start("server", "sh", "-c", serve)
    listening = "grep -q :1E61 /proc/net/tcp && echo yes || echo no"
    made.host.wait_until(
        lambda: made.shell(container, listening) == "yes\n", "the server",
        made.logs / "server.log",
    )  # fmt: skip
    with opened(made, "PortForward", pod_sandbox_id=made.id, port=[7777]) as forwarded:
        forwarded.send(0, b"GET /name HTTP/1.0\r\n\r\n")
        text = forwarded.wait_for(0, b"served")
        # Each channel begins with the number of its port.
        assert text.startswith((7777).to_bytes(2, "little") + b"HTTP/1.")

"""Examples of docs/ and README that are typed by hand, word by word.

tests/unit/manual/test_examples.py knows where each example is run, or why it is not.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import block
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox


class Desk:
    """A directory in which commands are typed; `ociruntime` is that of the test."""

    def __init__(self, sandbox: Sandbox, runtime_binary: Path) -> None:
        self.directory = sandbox.directory / "desk"
        self.directory.mkdir()
        programs = self.directory / "bin"
        programs.mkdir()
        front = programs / "ociruntime"
        front.write_text(f'#!/bin/sh\nexec {runtime_binary} --root {sandbox.root} "$@"\n')
        front.chmod(0o755)
        self.environment = {
            **sandbox.environment(),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.directory),
        }

    def type(self, text: str, stdin: str = "", *, check: bool = True) -> str:
        """What a shell that stops at the first failure prints."""
        done = subprocess.run(
            ["sh", "-eux", "-c", text],
            cwd=self.directory,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def without(self, text: str, word: str) -> str:
        """A block without the lines of a word that is not for a shell."""
        return "".join(f"{line}\n" for line in text.splitlines() if word not in line)


@pytest.fixture
def desk(sandbox: Sandbox, runtime_binary: Path) -> Iterator[Desk]:
    """The examples name their containers, so there is one desk on the machine at a time."""
    if not Path("/bin/busybox").exists():
        pytest.skip("no /bin/busybox")
    with (Path(tempfile.gettempdir()) / "ocirt-usage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Desk(sandbox, runtime_binary)
        yield made
        for name in ("c1", "first", "web"):
            made.type(f"ociruntime delete --force {name}", check=False)


@pytest.fixture
def running(desk: Desk) -> Desk:
    """A desk on which the bundle b is, and a container c1 runs."""
    desk.type(block("usage.md", "mkdir -p b/rootfs").partition("ociruntime run")[0])
    desk.type(
        'mkdir b1 && ociruntime spec --bundle b1 --rootfs "$PWD/b/rootfs" -- sleep 100\n'
        "ociruntime run --detach --bundle b1 c1 >/dev/null 2>&1 </dev/null"
    )
    return desk


def test_a_container_from_nothing_and_its_life(desk: Desk) -> None:
    said = desk.type(block("usage.md", "mkdir -p b/rootfs"), "echo in $((40 + 2))\nexit\n")
    assert "in 42" in said
    said = desk.type(block("usage.md", "mkdir b1"))
    assert '"status": "created"' in said
    assert "sleep 100" in said
    assert (desk.directory / "pid").read_text().isdecimal()
    assert desk.type("ociruntime list --quiet") == ""


def test_list(running: Desk) -> None:
    header, c1 = running.type("ociruntime list").splitlines()
    shown = block("usage.md", "$ ociruntime list").splitlines()
    assert header.split() == shown[1].split()
    assert len(c1.split()) == len(shown[2].split())


@pytest.mark.parametrize(
    "beginning",
    [
        "ociruntime pause c1",
        "ociruntime update --memory",
        "ociruntime events --stats",
        "ociruntime image ",
    ],
)
def test_commands(running: Desk, beginning: str) -> None:
    text = block("usage.md", beginning)
    if "events" in beginning:  # it goes on until the container ends
        endless = "ociruntime events --interval 500ms c1"
        assert endless in text
        text = text.replace(endless, f"timeout 1 {endless} || [ $? = 124 ]")
    if "image" in beginning:
        text = running.without(text, "refresh")  # it changes the installation
    running.type(text)


def test_ps(running: Desk) -> None:
    said = running.type(block("usage.md", "ociruntime ps c1"))
    assert said.count("sleep 100") == 2
    pid = running.type("ociruntime ps --format json c1").strip("[]\n")
    assert f" {pid} " in said


def test_plan_and_its_difference(running: Desk) -> None:
    shown = block("usage.md", "$ ociruntime plan --bundle b c1").splitlines()
    said = running.type("ociruntime plan --bundle b c1").splitlines()
    assert said[0].startswith("create c1 from ")
    for line in shown[5:8]:
        name, _, words = line.strip().partition("  ")
        (ours,) = (other for other in said if other.strip().startswith(f"{name} "))
        assert words.split()[0] in ours
    running.type("cp b/config.json b/config.json.old")
    config = (running.directory / "b/config.json").read_text()
    mounts = '"mounts": ['
    added = '{"destination": "/cache", "type": "tmpfs", "source": "tmpfs"},'
    assert mounts in config
    (running.directory / "b/config.json").write_text(
        config.replace("ociruntime", "web-2").replace(mounts, mounts + added)
    )
    command = block("usage.md", "$ ociruntime plan --diff").splitlines()[0].removeprefix("$ ")
    said = running.type(command)
    assert "+ mount /mounts/0" in said
    assert "~ set-hostname /hostname" in said
    assert "1 new, 1 changed" in said


def test_system_calls_of_a_plan(running: Desk) -> None:
    shown = block("usage.md", "$ ociruntime plan --syscalls").splitlines()
    said = running.type("ociruntime plan --syscalls --bundle b c1")
    for line in shown[2:-1]:
        assert line.replace("/tmp/b", str(running.directory / "b")) in said


def test_explain(running: Desk) -> None:
    text = block("usage.md", "$ ociruntime explain")
    command, _, shown = text.partition("\n")
    assert running.type(command.removeprefix("$ ")).rstrip("\n") == shown.rstrip("\n")


def test_metrics(running: Desk) -> None:
    shown = block("usage.md", "$ ociruntime metrics").splitlines()[1:]
    said = running.type("ociruntime metrics").splitlines()
    for line in shown:
        if line.startswith("#"):
            assert line in said
    assert said[-1] == "# EOF"


def test_trace(running: Desk) -> None:
    text = block("usage.md", "$ ociruntime --trace run.json")
    running.type("ociruntime delete --force c1; cp b1/config.json b/")
    running.type("sed -i s/100/0/ b/config.json")
    running.type(text.replace("$ ", ""))
    assert (running.directory / "run.svg").read_text().startswith("<svg")


def test_readme(running: Desk) -> None:
    running.type("cp -r b b.old; sed -i '/\"hostname\"/s/ociruntime/web/' b/config.json")
    said = running.type(block("../README.md", "ociruntime validate --bundle b"))
    assert "b/config.json: valid" in said
    assert "linux.resources.memory.swap  property" in said
    assert "1 changed" in said


def test_moving(running: Desk) -> None:
    said = running.type(block("moving.md", "ociruntime doctor"))
    assert "containers can be made" in said
    assert "b/config.json: valid" in said
    assert "steps, as root" in said


def test_troubleshooting(desk: Desk) -> None:
    lines = block("troubleshooting.md", "ociruntime doctor").splitlines()
    for line in lines:  # what a user lacks on this host is no failure of the example
        said = desk.type(line + "\nexit 0", check=False)
        assert "kernel" in said
    assert '"findings"' in said


def test_tracing(running: Desk) -> None:
    running.type("sed 's/\"100\"/\"0\"/' b1/config.json >b/config.json")
    typed = block("tracing.md", "ociruntime --trace run.json run web")
    assert "ociruntime run" in running.type(f"cd b\n{typed}")
    assert "</svg>" in (running.directory / "b/run.svg").read_text()
    typed = block("tracing.md", "ociruntime --trace run.json run --bundle b c1")
    running.type("ociruntime delete --force c1")
    running.type(running.without(typed, "curl"))  # which wants a collector
    assert "resourceSpans" in (running.directory / "run.otlp.json").read_text()


def test_mounts_of_a_running_container(running: Desk) -> None:
    running.type("mkdir b/rootfs/data")
    running.type("ociruntime run --detach --bundle b1 web >/dev/null 2>&1 </dev/null")
    (running.directory / "mounts.json").write_text(
        '[{"destination": "/data", "type": "tmpfs", "source": "tmpfs"}]'
    )
    add, remove = block("mounts.md", "ociruntime mounts add").splitlines()
    look = "ociruntime exec web /bin/busybox grep -c ' /data ' /proc/mounts"
    assert running.type(f"{add}\n{look}") == "1\n"
    assert running.type(f"{remove}\n{look} || :") == "0\n"


def test_a_configuration_with_a_network(desk: Desk) -> None:
    desk.type(f"mkdir b\n{block('networking.md', 'ociruntime spec --bundle b')}")
    text = (desk.directory / "b/config.json").read_text()
    for words in ("127.0.0.1:5353:53/udp", "8080:80", '"/srv/rootfs"', "/etc/resolv.conf"):
        assert words in text


def test_observing(running: Desk) -> None:
    once = block("usage.md", "ociruntime top --once")
    assert running.type(once).split()[0] == "ID"
    collected = block("usage.md", "ociruntime metrics >/var/lib/node_exporter")
    collected = collected.replace("/var/lib/node_exporter", "node_exporter")
    running.type(f"mkdir node_exporter\n{collected}")
    assert "# EOF" in (running.directory / "node_exporter/ociruntime.prom").read_text()

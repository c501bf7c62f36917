"""checkpoint and restore, with CRIU: what survives, and what the other commands say of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.terminal import ConsoleSocket
from ociruntime.plan.host import read_powers
from ociruntime.plan.identity import capability_names
from tests.support.bundle import Bundle
from tests.support.criu import checkpoint, count, criu, keeps_no_new_privs, restore
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime
from tests.support.sandbox import Sandbox
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]


def mounts(criu_host: Runtime, container: str) -> list[str]:
    """What is mounted where and how, without what differs from mount to mount."""
    text = criu_host.exec(container, "cat", "/proc/self/mountinfo").check().stdout
    lines = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, root, point, options = left.split()[:6]
        kind, _, _ = right.split(" ", 2)
        lines.append(f"{point} {kind} {options} {root if kind != 'cgroup' else ''}")
    return sorted(lines)


def test_it_goes_on_where_it_was(
    criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox
) -> None:
    """Memory, mounts, masks, cgroups and pid survive; every other command finds it as before."""
    data = sandbox.directory / "data"
    data.mkdir()
    (data / "file").write_text("the host's")
    counter.add_mount("/data", "bind", data, ["rbind", "ro"])
    container = criu_host.up(counter)
    count(criu_host, container, 5)
    before = mounts(criu_host, container)
    seen = criu_host.exec(container, "cat", "/proc/1/cgroup").check().stdout
    checkpoint(criu_host, container, images).check()
    assert not criu_host.state(container).ok
    assert images.stat().st_mode & 0o777 == 0o700

    pid_file = sandbox.directory / "pid"
    again = restore(criu_host, counter, images, "--pid-file", str(pid_file)).check().container
    state = criu_host.state(again).check().json()
    assert state["status"] == "running"
    assert state["pid"] == int(pid_file.read_text())
    reached = count(criu_host, again)
    assert count(criu_host, again, reached) > reached > 5
    assert mounts(criu_host, again) == before
    assert criu_host.exec(again, "cat", "/proc/1/cgroup").check().stdout == seen
    assert criu_host.exec(again, "cat", "/data/file").check().stdout == "the host's"
    assert not criu_host.exec(again, "sh", "-c", "echo x >/data/new").ok
    assert not criu_host.exec(again, "sh", "-c", "echo x >/proc/sys/kernel/panic").ok
    assert criu_host.exec(again, "cat", "/proc/timer_list").stdout == ""
    # The network namespace is new, and as a new container's.
    assert criu_host.exec(again, "cat", "/sys/class/net/lo/flags").check().stdout.strip() == "0x9"
    assert again in criu_host.list("--quiet").check().stdout.split()
    assert str(state["pid"]) in criu_host.ps(again).check().stdout
    assert criu_host.call("events", "--stats", again).check().json()["data"]
    placed = Path(f"/proc/{state['pid']}/cgroup").read_text().splitlines()
    assert all(counter.name in line for line in placed if "hugetlb" not in line)
    criu_host.kill(again, "KILL").check()
    criu_host.wait_for(again, "stopped")
    criu_host.delete(again).check()


def test_leave_running(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images, "--leave-running").check()
    reached = count(criu_host, container)
    assert count(criu_host, container, reached) > reached
    assert criu_host.status(container) == "running"


def test_a_paused_container(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """It is taken as it stands, and runs once restored."""
    container = criu_host.up(counter)
    count(criu_host, container, 3)
    criu_host.call("pause", container).check()
    checkpoint(criu_host, container, images).check()
    again = restore(criu_host, counter, images).check().container
    reached = count(criu_host, again, 3)
    count(criu_host, again, reached)


def test_in_turn(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """What was restored can be written again."""
    container = criu_host.up(counter)
    count(criu_host, container, 2)
    checkpoint(criu_host, container, images / "1").check()
    again = restore(criu_host, counter, images / "1").check().container
    reached = count(criu_host, again)
    checkpoint(criu_host, again, images / "2").check()
    count(criu_host, restore(criu_host, counter, images / "2").check().container, reached)


def test_pre_dump(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """Memory that was written before is not written again; a kernel that cannot tell is named."""
    container = criu_host.up(counter)
    first, second = images / "1", images / "2"
    tracks = subprocess.run([criu(), "check", "--feature", "mem_dirty_track"], check=False)
    done = criu_host.call("checkpoint", "--image-path", str(first), "--pre-dump", container)
    assert criu_host.status(container) == "running"
    if tracks.returncode:
        assert not done.ok
        assert "mem-track" in done.stderr
        return
    done.check()
    reached = count(criu_host, container)
    checkpoint(criu_host, container, second, "--parent-path", "../1").check()
    count(criu_host, restore(criu_host, counter, second).check().container, reached)


def test_lazy_pages(
    criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox
) -> None:
    """Memory comes from CRIU's daemon when it is used."""
    if subprocess.run([criu(), "check", "--feature", "uffd"], check=False).returncode:
        pytest.skip("this kernel has no userfaultfd for CRIU")
    work = sandbox.directory / "work"
    work.mkdir()
    container = criu_host.up(counter)
    reached = count(criu_host, container, 3)
    checkpoint(criu_host, container, images).check()
    words = ["lazy-pages", "--images-dir", images, "--work-dir", work, "-o", "lazy.log"]
    with subprocess.Popen([criu(), *words]) as daemon:
        deadline = time.monotonic() + PATIENCE
        while not (work / "lazy-pages.socket").exists():
            assert time.monotonic() < deadline
        options = ("--lazy-pages", "--work-path", str(work))
        again = restore(criu_host, counter, images, *options).check().container
        count(criu_host, again, reached)
        assert daemon.wait(PATIENCE) == 0


def test_page_server(
    criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox
) -> None:
    """Memory goes to another process, here of this machine; the rest is beside it then."""
    other = sandbox.directory / "other"
    other.mkdir()
    container = criu_host.up(counter)
    reached = count(criu_host, container, 3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["page-server", "--images-dir", other, "--port", str(port), "--address", "127.0.0.1"]
    with subprocess.Popen([criu(), *words, "-o", "server.log"]) as server:
        listening = f"0100007F:{port:04X}"
        deadline = time.monotonic() + PATIENCE
        while listening not in Path("/proc/net/tcp").read_text():
            assert time.monotonic() < deadline
            assert server.poll() is None
        at = f"127.0.0.1:{port}"
        checkpoint(criu_host, container, images, "--page-server", at).check()
        assert server.wait(PATIENCE) == 0
    assert not list(images.glob("pages-*.img"))
    for image in (*other.glob("pages-*.img"), *other.glob("pagemap-*.img")):
        image.rename(images / image.name)
    count(criu_host, restore(criu_host, counter, images).check().container, reached)


def test_foreground(criu_host: Runtime, bundle: MakeBundle, images: Path) -> None:
    """Without --detach its end and its status are ours, and nothing is left."""
    script = "trap 'exit 7' TERM; touch /ready; while :; do sleep 0.02; done"
    made = bundle().shell(script)
    container = criu_host.up(made)
    deadline = time.monotonic() + PATIENCE
    while not (made.rootfs / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    checkpoint(criu_host, container, images).check()
    command = [str(criu_host.binary), "--root", str(criu_host.root), *criu_host.global_options]
    command += ["restore", "--image-path", str(images), "--bundle", str(made.path), container]
    # Older than 3.18, CRIU takes a file for another only where both have the same permissions.
    output = criu_host.sandbox.directory / "restored"
    environment = criu_host.sandbox.environment()
    with (
        output.open("w") as stdout,
        subprocess.Popen(command, env=environment, stdout=stdout, stderr=stdout) as process,
    ):
        output.chmod(0o644)
        deadline = time.monotonic() + PATIENCE
        while not (found := criu_host.state(container)).ok or found.json()["status"] != "running":
            assert time.monotonic() < deadline
            assert process.poll() is None, output.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 7
    assert not criu_host.state(container).ok


def test_streams(criu_host: Runtime, bundle: MakeBundle, images: Path) -> None:
    """A pipe and a file that lead out of the container lead to what `restore` is given."""
    made = bundle().shell("while read word; do echo got $word; done")
    reader, writer = os.pipe()
    try:
        container = criu_host.create(made, stdin=reader).check().container
        criu_host.start(container).check()
        checkpoint(criu_host, container, images).check()
        written = images.parent / "written"
        with written.open("wb") as output:
            restore(criu_host, made, images, stdin=reader, stdout=output).check()
        os.write(writer, b"word\n")
        deadline = time.monotonic() + PATIENCE
        while written.read_bytes() != b"got word\n":
            assert time.monotonic() < deadline, written.read_bytes()
    finally:
        os.close(reader)
        os.close(writer)


def test_preserved_descriptors(criu_host: Runtime, bundle: MakeBundle, images: Path) -> None:
    """What was handed in at create is handed in again."""
    made = bundle().shell("while read word <&3; do echo got $word >&4; done")
    written = images.parent / "written"
    reader, writer = os.pipe()
    shell = ("/bin/bash", "-c", f'exec "$0" "$@" 3<&{reader} 4>>{written}')
    how: dict[str, Any] = {"wrapper": shell, "pass_fds": [reader]}
    try:
        container = criu_host.create(made, "--preserve-fds", "2", **how).check().container
        criu_host.start(container).check()
        checkpoint(criu_host, container, images).check()
        restore(criu_host, made, images, "--preserve-fds", "2", **how).check()
        os.write(writer, b"word\n")
        deadline = time.monotonic() + PATIENCE
        while written.read_bytes() != b"got word\n":
            assert time.monotonic() < deadline, written.read_bytes()
    finally:
        os.close(reader)
        os.close(writer)


def test_clocks(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """Processes of `exec` are in the time namespace in which the restored ones go on."""
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images).check()
    again = restore(criu_host, counter, images).check().container
    first = os.readlink(f"/proc/{criu_host.pid(again)}/ns/time")
    assert criu_host.exec(again, "readlink", "/proc/self/ns/time").check().stdout.strip() == first


def test_terminal(criu_host: Runtime, bundle: MakeBundle, images: Path, sandbox: Sandbox) -> None:
    """The console socket gets the master of a new terminal."""
    made = bundle().shell("while read word; do echo got $word; tty; done")
    made.set("/process/terminal", True)
    with ConsoleSocket(sandbox.directory / "test-console") as box:
        container = criu_host.create(made, "--console-socket", str(box.path)).check().container
        box.receive(PATIENCE)
        criu_host.start(container).check()
        checkpoint(criu_host, container, images).check()
        box.hang_up()
        restore(criu_host, made, images, "--console-socket", str(box.path)).check()
        os.write(box.receive(PATIENCE), b"word\n")
        said = box.read(PATIENCE, "/dev/")
        assert "got word\n/dev/" in said


def test_user_namespace(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    counter.set("/linux/namespaces/-", {"type": "user"})
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    counter.set("/linux/uidMappings", maps).set("/linux/gidMappings", maps)
    os.chown(counter.rootfs, 100000, 100000)
    # A file of root's could not be opened anew in there.
    with criu_host.sandbox.null.open("r+b", buffering=0) as null:
        container = criu_host.create(counter, stdout=null, stderr=null).check().container
    criu_host.start(container).check()
    count(criu_host, container, 2)
    checkpoint(criu_host, container, images).check()
    again = restore(criu_host, counter, images).check().container
    count(criu_host, again, 2)
    pid = criu_host.pid(again)
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", "100000", "65536"]


def test_joined_namespaces(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """Namespaces that were somebody's else stay so."""
    holder = subprocess.Popen(["unshare", "--net", "--ipc", "--uts", "sleep", "1000"])
    try:
        files = {"network": "net", "ipc": "ipc", "uts": "uts"}
        own = {name: os.readlink(f"/proc/self/ns/{file}") for name, file in files.items()}
        deadline = time.monotonic() + PATIENCE
        while any(
            os.readlink(f"/proc/{holder.pid}/ns/{file}") == own[name]
            for name, file in files.items()
        ):
            assert time.monotonic() < deadline
        for entry in counter.config["linux"]["namespaces"]:
            if entry["type"] in files:
                entry["path"] = f"/proc/{holder.pid}/ns/{files[entry['type']]}"
        counter.config.pop("hostname", None)
        container = criu_host.up(counter)
        checkpoint(criu_host, container, images).check()
        pid = criu_host.pid(restore(criu_host, counter, images).check().container)
        for file in files.values():
            assert os.readlink(f"/proc/{pid}/ns/{file}") == os.readlink(
                f"/proc/{holder.pid}/ns/{file}"
            )
    finally:
        holder.kill()
        holder.wait()


def test_identity(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """User, groups, capabilities, no_new_privs, seccomp and limits are what they were."""
    # Asking for the limits of somebody else needs CAP_SYS_RESOURCE, which not every root has.
    who = 1000 if "CAP_SYS_RESOURCE" in capability_names(read_powers().capabilities) else 0
    counter.set("/process/user", {"uid": who, "gid": who, "additionalGids": [1002]})
    if keeps_no_new_privs():
        counter.set("/process/noNewPrivileges", True)
    counter.set(
        "/linux/seccomp",
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
        },
    )
    counter.config["mounts"][-1]["options"].append("mode=1777")

    def identity(pid: int) -> list[str]:
        wanted = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp")
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        return [line for line in lines if line.startswith(wanted)] + limits

    container = criu_host.up(counter)
    before = identity(criu_host.pid(container))
    count(criu_host, container, 1)
    checkpoint(criu_host, container, images).check()
    assert identity(criu_host.pid(restore(criu_host, counter, images).check().container)) == before


def test_a_criu_that_loses_no_new_privs(
    criu_host: Runtime, counter: Bundle, images: Path
) -> None:
    """It is told before anything ends, and what there is goes on."""
    if keeps_no_new_privs():
        pytest.skip("CRIU is 3.18 or newer")
    container = criu_host.up(counter.set("/process/noNewPrivileges", True))
    assert_clear(criu_host, checkpoint(criu_host, container, images), "no_new_privs", "3.18")
    assert criu_host.status(container) == "running"
    assert not images.exists()


def test_limits(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    """The configuration's limits hold again."""
    counter.set("/linux/resources", {"pids": {"limit": 7}, "memory": {"limit": 64 << 20}})
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images).check()
    again = restore(criu_host, counter, images).check().container
    stats = criu_host.call("events", "--stats", again).check().json()["data"]
    assert stats["pids"]["limit"] == 7
    assert stats["memory"]["usage"]["limit"] == 64 << 20


def test_hooks(criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox) -> None:
    """prestart and createRuntime run for the new namespaces; poststop once the container is gone,
    and not while it goes on.
    """
    log = sandbox.directory / "hooks"
    log.touch()
    for phase in ("prestart", "createRuntime", "createContainer", "poststart", "poststop"):
        script = f"read state; echo {phase} >>{log}"
        hook = {"path": "/bin/sh", "args": ["sh", "-c", script]}
        counter.set(f"/hooks/{phase}", [hook])
    container = criu_host.up(counter)
    log.write_text("")
    checkpoint(criu_host, container, images, "--leave-running").check()
    assert log.read_text() == ""
    checkpoint(criu_host, container, images).check()
    assert log.read_text().split() == ["poststop"]
    log.write_text("")
    again = restore(criu_host, counter, images).check().container
    assert log.read_text().split() == ["prestart", "createRuntime"]
    log.write_text("")
    criu_host.delete(again, "--force").check()
    assert log.read_text().split() == ["poststop"]


def test_a_failing_hook_leaves_nothing(criu_host: Runtime, counter: Bundle, images: Path) -> None:
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images).check()
    counter.set("/hooks/createRuntime", [{"path": "/bin/false"}]).write()
    done = criu_host.call(
        "restore", "--detach", "--image-path", str(images), "--bundle", str(counter.path), container
    )
    assert not done.ok
    assert "createRuntime" in done.stderr
    assert not criu_host.state(container).ok
    counter.remove("/hooks")
    restore(criu_host, counter, images).check()


def test_tcp_established(criu_host: Runtime, bundle: MakeBundle, images: Path) -> None:
    """A connection within the container survives, where that is asked for."""
    script = (
        "nc -l -p 4000 -e cat & until grep -q :0FA0 /proc/net/tcp*; do sleep 0.01; done; "
        "(while :; do echo x; sleep 0.05; done) "
        "| nc 127.0.0.1 4000 >/tmp/echoed"
    )
    made = bundle().shell(script).add_mount("/tmp", "tmpfs", "tmpfs", [])
    container = criu_host.up(made)

    def echoed(container: str, above: int = 0) -> int:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            size = criu_host.exec(container, "cat", "/tmp/echoed").stdout
            if len(size) > above:
                return len(size)
        raise AssertionError(f"nothing is echoed beyond {above}")

    before = echoed(container)
    refused = criu_host.call("checkpoint", "--image-path", str(images), container)
    assert not refused.ok
    assert "tcp" in refused.stderr.lower()
    assert criu_host.status(container) == "running"
    checkpoint(criu_host, container, images, "--tcp-established").check()
    again = restore(criu_host, made, images, "--tcp-established").check().container
    echoed(again, before + 4)


def test_descriptors(images: Path, criu_host: Runtime, counter: Bundle) -> None:
    """The streams' names are where runc and crun write them, too."""
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images, "--leave-running").check()
    names = json.loads((images / "descriptors.json").read_text())
    assert len(names) == 3
    assert names[1].startswith("file[")


def test_work_path(criu_host: Runtime, counter: Bundle, images: Path, sandbox: Sandbox) -> None:
    work = sandbox.directory / "work"
    container = criu_host.up(counter)
    checkpoint(criu_host, container, images, "--work-path", str(work)).check()
    assert (work / "dump.log").exists()
    assert not (images / "dump.log").exists()
    restore(criu_host, counter, images, "--work-path", str(work)).check()
    assert (work / "restore.log").exists()


def test_socket_of_the_host(criu_host: Runtime, bundle: MakeBundle, images: Path) -> None:
    """A stream that is a socket is refused in one line without --ext-unix-sk."""
    ours, theirs = socket.socketpair()
    try:
        made = bundle(args=["sleep", "1000"])
        container = criu_host.create(made, stdin=theirs.fileno()).check().container
        criu_host.start(container).check()
        refused = criu_host.call("checkpoint", "--image-path", str(images), container)
        assert not refused.ok
        assert len(refused.stderr.strip().splitlines()) == 1
        assert criu_host.status(container) == "running"
    finally:
        ours.close()
        theirs.close()

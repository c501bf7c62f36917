"""Annotations that peers honour and engines write (run.oci.*, documented by crun)."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.agent import Agent
from ociruntime.features import UNSAFE_ANNOTATIONS
from ociruntime.kernel.numbers import NUMBERS
from ociruntime.plan.annotations import FAIL_UNKNOWN, HANDLER, REFUSED
from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.seccomp import profile, rule
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
PHASES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
GROUP = 4242


@pytest.mark.parametrize("user_namespace", [False, True])
def test_output_of_hooks(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path, user_namespace: bool
) -> None:
    """Appended, of every kind of hook, also where the hook's user could not open the file."""
    made = bundle()
    if user_namespace:
        mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
        made.add_namespace("user").set("/linux/uidMappings", mapping)
        made.set("/linux/gidMappings", mapping)
    script = "echo out $1; echo err $1 >&2"
    made.set(
        "/hooks",
        {
            phase: [{"path": "/bin/sh", "args": ["sh", "-c", script, "sh", phase]}]
            for phase in PHASES
        },
    )
    out, err = tmp_path / "out", tmp_path / "err"
    out.write_text("before\n")
    made.set("/annotations", {"run.oci.hooks.stdout": str(out), "run.oci.hooks.stderr": str(err)})
    runtime.run(made).check()
    assert out.read_text().splitlines() == ["before", *(f"out {phase}" for phase in PHASES)]
    assert err.read_text().splitlines() == [f"err {phase}" for phase in PHASES]
    assert err.stat().st_mode & 0o077 == 0


def test_output_file_that_cannot_be_made(
    runtime: Runtime, bundle: MakeBundle, tmp_path: Path
) -> None:
    made = bundle().set("/annotations", {"run.oci.hooks.stdout": str(tmp_path / "no" / "file")})
    made.set("/hooks", {"createRuntime": [{"path": "/bin/true"}]})
    assert_clear(runtime, runtime.create(made), "run.oci.hooks.stdout", "no such file")


def test_pidfd_receiver(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """The descriptor is one of the container's first process."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        made = bundle(["sleep", "100"]).set("/annotations", {"run.oci.pidfd_receiver": str(path)})
        container = runtime.up(made)
        connection, _ = server.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 100, 1)
    signal.pidfd_send_signal(fds[0], signal.SIGKILL)
    os.close(fds[0])
    runtime.wait_for(container, "stopped")


RAW_FILTER = "run.oci.seccomp_bpf_data"
# linux/seccomp.h
ALLOW, ERRNO, NOTIFY = 0x7FFF0000, 0x50000, 0x7FC00000


def raw_filter(name: str, action: int) -> str:
    """A filter, in base64, that lets everything happen but one system call (linux/filter.h)."""
    instructions = (
        (0x20, 0, 0, 0),
        (0x15, 0, 1, NUMBERS[name]),
        (0x06, 0, 0, action),
        (0x06, 0, 0, ALLOW),
    )
    return base64.b64encode(b"".join(struct.pack("=HBBI", *one) for one in instructions)).decode()


@pytest.mark.parametrize("no_new_privs", [True, False])
def test_raw_filter(runtime: Runtime, bundle: MakeBundle, no_new_privs: bool) -> None:
    """It holds for the container and for exec, and the rules of linux.seccomp do not."""
    made = bundle(process={"noNewPrivileges": no_new_privs})
    made.set("/annotations", {RAW_FILTER: raw_filter("sethostname", ERRNO | 18)})
    made.set("/linux/seccomp", profile("ALLOW", rule("mkdir mkdirat", "ERRNO")))
    made.add_capabilities("CAP_SYS_ADMIN")
    refused = "hostname: sethostname: Invalid cross-device link\n"
    assert runtime.run(made.shell("hostname other; mkdir /made")).check().stderr == refused
    container = runtime.up(made.shell("sleep 100"))
    assert runtime.exec(container, "hostname", "other").stderr == refused
    runtime.exec(container, "mkdir", "/made-too").check()


def test_raw_filter_without_linux_seccomp(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(["grep", "Seccomp:", "/proc/self/status"])
    made.set("/annotations", {RAW_FILTER: raw_filter("sethostname", ERRNO)})
    assert runtime.run(made).check().stdout == "Seccomp:\t2\n"


def test_raw_filter_that_notifies(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """Where linux.seccomp has a rule that notifies, and says whom."""
    path = tmp_path / "test-agent.sock"
    made = bundle(["hostname", "other"]).add_capabilities("CAP_SYS_ADMIN")
    made.set("/annotations", {RAW_FILTER: raw_filter("sethostname", NOTIFY)})
    made.set("/linux/seccomp", profile("ALLOW", rule("bpf", "NOTIFY"), listenerPath=str(path)))
    with Agent(path, 18) as agent:
        assert "Invalid cross-device link" in runtime.run(made).stderr
    assert [each.counts[0] for each in agent.deliveries] == [1]


WITH_GROUP = ("setpriv", f"--groups={GROUP}")


@pytest.mark.parametrize("value", ["1", "0", None])
def test_original_groups(runtime: Runtime, bundle: MakeBundle, value: str | None) -> None:
    made = bundle(["id", "-G"])
    if value is not None:
        made.set("/annotations", {"run.oci.keep_original_groups": value})
    output = runtime.run(made, wrapper=WITH_GROUP).check().stdout
    assert (str(GROUP) in output.split()) == (value == "1")


def test_original_groups_of_exec(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(["sleep", "100"])
    made.set("/annotations", {"run.oci.keep_original_groups": "1"})
    container = runtime.up(made)
    result = runtime.exec(container, "id", "-G", wrapper=WITH_GROUP).check()
    assert str(GROUP) in result.stdout.split()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("run.oci.handler", "krun", ["no handler krun"]),
        ("run.oci.seccomp_bpf_data", "not base64", ["not base64", "seccomp(2)"]),
        ("run.oci.seccomp_bpf_data", "AAAA", ["3 bytes are no filter"]),
        ("run.oci.seccomp_bpf_data", raw_filter("execve", ERRNO | 13), ["execve", "allow it"]),
        ("run.oci.systemd.force_cgroup_v1", "/sys/fs/cgroup/systemd", ["cgroup v1"]),
    ],
)
def test_what_cannot_be_had(
    runtime: Runtime, bundle: MakeBundle, name: str, value: str, words: list[str]
) -> None:
    """Whoever asks for it gets no container without it, and is told."""
    made = bundle().set("/annotations", {name: value})
    assert_clear(runtime, runtime.create(made), name, *words)


def test_our_own_handler(runtime: Runtime, bundle: MakeBundle) -> None:
    runtime.run(bundle().set("/annotations", {"run.oci.handler": "ociruntime"})).check()


@pytest.mark.parametrize("value", [None, "0", "1"])
def test_unknown_system_calls(runtime: Runtime, bundle: MakeBundle, value: str | None) -> None:
    """Left out, unless the annotation makes them an error; also where the filter is compiled
    already.
    """
    made = bundle(args=["true"])
    rules = [{"names": ["nosuchcall", "swapon"], "action": "SCMP_ACT_ERRNO"}]
    made.set("/linux/seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
    if value is not None:
        made.set("/annotations", {"run.oci.seccomp_fail_unknown_syscall": value})
    for _ in range(2):
        done = runtime.create(made)
        if value == "1":
            assert_clear(runtime, done, "nosuchcall", "run.oci.seccomp_fail_unknown_syscall")
        else:
            runtime.delete(done.check().container, "--force").check()


@pytest.mark.parametrize(
    "annotations",
    [
        {"run.oci.systemd.subgroup": "sub"},
        {"run.oci.seccomp.plugins": "/no/such/plugin.so"},
    ],
)
def test_what_has_no_effect(
    runtime: Runtime, bundle: MakeBundle, annotations: dict[str, str]
) -> None:
    """The container is where it would be without them, and in no cgroup below: not that of a
    systemd unit that it does not have, either.
    """
    made = bundle(["sleep", "100"]).set("/linux/resources", {"pids": {"limit": 50}})
    plain = runtime.up(made)
    before = Path(f"/proc/{runtime.pid(plain)}/cgroup").read_text()
    runtime.delete(plain, "--force").check()
    container = runtime.up(made.set("/annotations", annotations))
    assert Path(f"/proc/{runtime.pid(container)}/cgroup").read_text() == before
    assert runtime.state(container).check().json()["annotations"] == annotations


DOCUMENTED = re.compile(r"^\| (`(?:run\.oci|org\.)[^|]*`) \|[^|]*\| (yes|no)\b", re.MULTILINE)


def test_the_table_says_which_are_unsafe() -> None:
    """docs/usage.md and `features` agree on what strangers may set."""
    page = Path(__file__).resolve().parents[2] / "docs" / "usage.md"
    told = {
        name.replace("NAME", ""): word
        for names, word in DOCUMENTED.findall(page.read_text())
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert {name for name, word in told.items() if word == "no"} == set(UNSAFE_ANNOTATIONS)
    assert {HANDLER, FAIL_UNKNOWN, *REFUSED} <= {
        name for name, word in told.items() if word == "yes"
    }

"""exec has two ways into a container: a copy of the caller, and oci-exec. What comes of them is the
same, word by word.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel.kernel import Kernel
from ociruntime.lifecycle import entry
from ociruntime.lifecycle.tenant import ExecOptions
from ociruntime.state.store import Container, Store
from tests.support.apparmor import APPARMOR, loaded
from tests.support.executed import (
    WAYS,
    Process,
    Way,
    assert_same,
    by_copy,
    by_program,
    execute,
    failures,
    look,
    process,
    the_rest,
)
from tests.support.runtime import TIMEOUT
from tests.support.seccomp import profile, rule

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
MAPPING = [{"containerID": 0, "hostID": 200000, "size": 65536}]


@pytest.fixture
def container(runtime: Runtime, bundle: MakeBundle, probe: Path) -> str:
    return runtime.up(bundle(args=["sleep", "100"]).install(probe, "/probe"))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"user": {"uid": 12, "gid": 34, "additionalGids": [5, 6], "umask": 0o27}},
        {"cwd": "/tmp", "noNewPrivileges": True},
        {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60},
                     {"type": "RLIMIT_CORE", "soft": 1 << 30, "hard": 1 << 40}]},
        {"env": ["A=1", "PATH=/nowhere", "A=2", "HOME=/x", "B", "PATH=/bin", "HOME="]},
        {"oomScoreAdj": 321, "env": ["PATH=/nowhere:/bin", "HOME=/mine", "B=ä\udcff"]},
        {"capabilities": {name: ["CAP_KILL", "CAP_NET_RAW", "CAP_NONSENSE"] for name in
                          ("bounding", "effective", "permitted", "inheritable", "ambient")}},
        {"capabilities": {}},
    ],
    ids=["plain", "user", "cwd", "rlimits", "env", "oom", "capabilities", "none"],
)  # fmt: skip
def test_the_same_process(runtime: Runtime, container: str, values: dict[str, Any]) -> None:
    said = assert_same(runtime, container, look(**values))
    assert "leads a session, terminal 0" in said
    assert f"_ses.{container}" in said


def test_capabilities_of_the_container(runtime: Runtime, container: str) -> None:
    """A process that speaks of none has them; one that has none has none."""
    wanted = process("grep", "CapEff", "/proc/self/status")
    del wanted["capabilities"]
    assert "00000000a80425fb" in assert_same(runtime, container, wanted)
    wanted["capabilities"] = {}
    assert "0000000000000000" in assert_same(runtime, container, wanted)


def test_label_of_the_container(runtime: Runtime, container: str) -> None:
    """So is its security label; what this host has not loaded fails in the same words."""
    opened = Store(str(runtime.root)).open(container)
    try:
        assert opened.data["labels"] == {}
        opened.data["labels"] = {"apparmorProfile": "nothing-like-it"}
        opened.save()
    finally:
        opened.close()
    words = "nothing-like-it" if APPARMOR else "AppArmor is not enabled"
    assert words in failures(runtime, container, process("true"))


def test_working_directories(runtime: Runtime, bundle: MakeBundle) -> None:
    """Closed to the user, closed to root, closed to both."""
    made = bundle(args=["sleep", "100"]).add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", MAPPING)
    for name, owner in (("roots", 200000), ("users", 200007), ("hosts", 0)):
        (made.rootfs / name).mkdir(mode=0o700)
        os.chown(made.rootfs / name, owner, owner)
    container = runtime.up(made)
    user = {"uid": 7, "gid": 8}
    for name in ("/roots", "/users"):
        wanted = process("sh", "-c", "pwd; id -u", cwd=name, user=user)
        assert assert_same(runtime, container, wanted) == f"{name}\n7\n"
    words = failures(runtime, container, process("sh", "-c", "pwd", cwd="/hosts", user=user))
    assert "enter the working directory: permission denied" in words


def test_in_a_user_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"]).add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", MAPPING)
    os.chown(made.rootfs, 200000, 200000)
    container = runtime.up(made)
    assert_same(runtime, container, look())
    said = assert_same(runtime, container, look(user={"uid": 7, "gid": 8, "additionalGids": [9]}))
    assert "Groups:\t9 \n" in said
    errors = failures(runtime, container, look(user={"uid": 70000, "gid": 0}))
    assert "process.user.uid 70000 is not mapped" in errors


@pytest.mark.parametrize("kind", ["mount", "pid", "cgroup", "all"])
def test_without_a_namespace(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    made = bundle(args=["/bin/sleep", "100"])
    kinds = [entry["type"] for entry in made.config["linux"]["namespaces"]]
    for name in kinds if kind == "all" else [kind]:
        made.drop_namespace(name)
    if kind in ("mount", "all"):
        made.config["mounts"] = []
        for name in ("readonlyPaths", "maskedPaths", "rootfsPropagation"):
            made.config["linux"].pop(name, None)
        made.config["root"].pop("readonly", None)
    made.config.pop("hostname", None)
    made.config.pop("domainname", None)
    made.config["linux"].pop("sysctl", None)
    container = runtime.up(made)
    wanted = look() if kind not in ("mount", "all") else process("sh", "-c", "pwd; ls /; echo /*")
    said = assert_same(runtime, container, wanted)
    if kind in ("mount", "all"):
        assert sorted(said.split("\n")[1:-2]) == sorted(os.listdir(made.rootfs))


def test_with_a_filter(runtime: Runtime, bundle: MakeBundle) -> None:
    """... also when the program in the cache is gone, and in a container of an older version."""
    made = bundle(args=["sleep", "100"])
    made.config["linux"]["seccomp"] = profile("ALLOW", rule("mkdir mkdirat", "ERRNO", errnoRet=18))
    container = runtime.up(made)
    wanted = process("sh", "-c", "grep Seccomp: /proc/self/status; mkdir /tmp/x")
    for privileges in (False, True):
        said = assert_same(runtime, container, {**wanted, "noNewPrivileges": privileges})
        assert said.startswith("Seccomp:\t2\n")
        assert "Invalid cross-device link" in said
    shutil.rmtree(runtime.root / ".seccomp")
    assert "Seccomp:\t2" in assert_same(runtime, container, wanted)
    opened = Store(str(runtime.root)).open(container)
    try:
        assert opened.data.pop("seccomp_program")["flags"] >= 0
        opened.save()
    finally:
        opened.close()
    assert "Seccomp:\t2" in assert_same(runtime, container, wanted)


def test_limits_of_the_cgroup(runtime: Runtime, bundle: MakeBundle) -> None:
    """v2 refuses a process more than pids.max when it is cloned, v1 only what that one forks."""
    made = bundle(args=["sleep", "100"]).set("/linux/resources/pids/limit", 1)
    container = runtime.up(made)
    found = []
    for way in (by_copy, by_program):
        try:
            found.append(
                execute(runtime, container, process("sh", "-c", "ls / & wait"), way).output
            )
        except OciError as error:
            found.append(str(error))
    assert found[0] == found[1]
    assert "an't fork" in found[0] or "EAGAIN" in found[0]


# --- the host side ----------------------------------------------------------------------------


def begin(container: Container, wanted: Process, null: int) -> tuple[Any, int]:
    """The exec whose process is let go, and the descriptor that it waits for."""
    options = ExecOptions()
    options.streams = (null, null, null)
    making = entry.exec_patiently(container, wanted, options, Kernel())
    return making, next(making)


def test_it_never_waits_for_the_container(runtime: Runtime, container: str) -> None:
    """A frozen container answers late; the caller has the loop back before, and can give up."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    runtime.call("pause", container).check()
    opened = Store(str(runtime.root)).open(container)
    try:
        with pytest.raises(OciError, match="paused"):
            begin(opened, process("true"), null)
        options = ExecOptions()
        options.streams = (null, null, null)
        options.ignore_paused = True
        making = entry.exec_patiently(opened, process("true"), options, Kernel())
        fd = next(making)
        assert not select.select([fd], [], [], 0.05)[0]
        runtime.call("resume", container).check()
        run = the_rest(making, fd)
        assert os.waitpid(run.pid, 0)[1] == 0
    finally:
        opened.close()
        os.close(null)


def test_a_caller_that_dies_takes_it_along(runtime: Runtime, container: str) -> None:
    """The process that waits inside ends with whoever would let it go on."""
    opened = Store(str(runtime.root)).open(container)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            entry.Proceed.execute = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
            begin(opened, process("sleep", "1000"), null)
        finally:
            os._exit(1)
    opened.close()
    os.close(null)
    assert os.waitpid(child, 0)[1] == 9
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        processes = runtime.call("ps", "--format", "json", container).check().json()
        if len(processes) == 1:
            return
        time.sleep(0.01)
    raise AssertionError(processes)


def test_a_container_that_ends_meanwhile(runtime: Runtime, container: str) -> None:
    """No process is left, whichever of the two is faster."""
    opened = Store(str(runtime.root)).open(container)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        making, fd = begin(opened, process("sleep", "1000"), null)
        runtime.call("kill", container, "KILL").check()
        assert select.select([fd], [], [], TIMEOUT)[0]
        words = ""
        try:
            run = the_rest(making, fd)
        except OciError as error:
            words = str(error)
        if words:
            assert "died before its program was executed" in words
        else:  # it was the program already
            assert os.waitpid(run.pid, 0)[1] == 9
        with pytest.raises(OciError):
            begin(opened, process("true"), null)
    finally:
        opened.close()
        os.close(null)


def test_what_oci_exec_cannot_do_is_done_by_a_copy(runtime: Runtime, container: str) -> None:
    opened = Store(str(runtime.root)).open(container)
    options = ExecOptions()
    try:
        assert entry.can_enter(opened, process("true"), options)
        for values in ({"terminal": True}, {"scheduler": {"policy": "SCHED_BATCH"}},
                       {"ioPriority": {"class": "IOPRIO_CLASS_IDLE"}}):  # fmt: skip
            assert not entry.can_enter(opened, process("true", **values), options)
        opened.data["every_process"] = {"personality": {"domain": "LINUX32"}}
        assert not entry.can_enter(opened, process("true"), options)
    finally:
        opened.close()


@WAYS
def test_streams_change_their_owner(runtime: Runtime, container: str, way: Way) -> None:
    """Pipes do, files do not (CVE-2026-88265)."""
    wanted = process("sh", "-c", "stat -c %u /proc/self/fd/0 /proc/self/fd/1",
                     user={"uid": 12, "gid": 0})  # fmt: skip
    wanted["args"][2] = "stat -L -c %u /proc/self/fd/0 /proc/self/fd/1"
    assert execute(runtime, container, wanted, way).output == "0\n12\n"


def test_no_memory_is_copied(runtime: Runtime, container: str) -> None:
    """A process with Python takes some hundred pages of ours, and we take them back."""

    def faults(way: Way) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        execute(runtime, container, process("true"), way)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    fewest = {way: min(faults(way) for _ in range(10)) for way in (by_copy, by_program)}
    assert fewest[by_program] < fewest[by_copy] - 100


@pytest.mark.skipif(not APPARMOR, reason="this host has no AppArmor")
@pytest.mark.parametrize("privileges", [False, True])
def test_label(runtime: Runtime, container: str, sandbox: Sandbox, privileges: bool) -> None:
    with loaded(sandbox.prefix) as name:
        script = "cat /proc/self/attr/current; (echo >/tmp/denied) 2>/dev/null || echo denied"
        wanted = process("sh", "-c", script, apparmorProfile=name, noNewPrivileges=privileges)
        assert assert_same(runtime, container, wanted) == f"{name} (enforce)\ndenied\n"
        wanted["apparmorProfile"] = "nothing-like-it"
        assert "nothing-like-it" in failures(runtime, container, wanted)


@pytest.mark.skipif(APPARMOR, reason="this host has AppArmor")
def test_no_label(runtime: Runtime, container: str) -> None:
    wanted = process("true", apparmorProfile="unconfined")
    assert "AppArmor is not enabled" in failures(runtime, container, wanted)

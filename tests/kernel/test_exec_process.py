"""A process of exec is what the container's first one is with the same config, and the host side of
making it.
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
from ociruntime.lifecycle.exec import AT_ONCE, exec_patiently
from ociruntime.plan.requests import ExecRequest
from ociruntime.state.store import Container, Store
from ociruntime.steps import enter
from tests.support.apparmor import APPARMOR, loaded
from tests.support.executed import (
    LOOK,
    Process,
    execute,
    failure_of,
    look,
    output_of,
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
# The first process says what it is to its standard output, and stays.
SAY = f"{{ {LOOK} }} 2>&1; echo end"
STAY = f"{SAY}; exec /bin/sleep 100"


def assert_like_the_first(runtime: Runtime, made: Bundle, sandbox: Sandbox, **values: Any) -> str:
    """That exec makes of ``values`` what create makes of them; what that is."""
    wanted = look(**values)
    wanted["args"][2] = SAY
    made.config["process"] = {**wanted, "args": ["/bin/sh", "-c", STAY]}
    read, write = os.pipe()
    try:
        container = runtime.create(made, stdout=write).check().container
        runtime.start(container).check()
        os.close(write)
        write = -1
        first = b""
        while not first.endswith(b"end\n"):
            assert select.select([read], [], [], TIMEOUT)[0], first
            piece = os.read(read, 65536)
            assert piece, first
            first += piece
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    said = execute(runtime, container, wanted)
    assert said.status == 0
    assert said.output == first.decode(errors="surrogateescape")
    return said.output


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
        {"oomScoreAdj": 321, "env": ["PATH=/nowhere:/bin", "HOME=/mine", "B=ä"]},
        {"capabilities": {name: ["CAP_KILL", "CAP_NET_RAW", "CAP_NONSENSE"] for name in
                          ("bounding", "effective", "permitted", "inheritable", "ambient")}},
        {"capabilities": {}},
    ],
    ids=["plain", "user", "cwd", "rlimits", "env", "oom", "capabilities", "none"],
)  # fmt: skip
def test_like_the_first_process(
    runtime: Runtime, bundle: MakeBundle, probe: Path, sandbox: Sandbox, values: dict[str, Any]
) -> None:
    made = bundle().install(probe, "/probe")
    said = assert_like_the_first(runtime, made, sandbox, **values)
    assert "leads a session, terminal 0" in said
    assert "_ses." in said


def test_any_bytes_of_a_variable(runtime: Runtime, container: str) -> None:
    env = ["PATH=/bin", "HOME=/", "B=\u00e4\udcff"]
    assert output_of(runtime, container, process("env", env=env)).splitlines() == env


def test_capabilities_of_the_container(runtime: Runtime, container: str) -> None:
    """A process that speaks of none has them; one that has none has none."""
    wanted = process("grep", "CapEff", "/proc/self/status")
    del wanted["capabilities"]
    assert "00000000a80425fb" in output_of(runtime, container, wanted)
    wanted["capabilities"] = {}
    assert "0000000000000000" in output_of(runtime, container, wanted)


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
    assert words in failure_of(runtime, container, process("true"))


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
        assert output_of(runtime, container, wanted) == f"{name}\n7\n"
    words = failure_of(runtime, container, process("sh", "-c", "pwd", cwd="/hosts", user=user))
    assert "enter the working directory: permission denied" in words


@pytest.mark.parametrize("uid", [0, 7])
def test_in_a_user_namespace(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, uid: int
) -> None:
    made = bundle(args=["sleep", "100"]).add_namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        made.set(f"/linux/{kind}", MAPPING)
    os.chown(made.rootfs, 200000, 200000)
    user = {"uid": uid, "gid": 8, "additionalGids": [9]}
    assert "Groups:\t9 \n" in assert_like_the_first(runtime, made, sandbox, user=user)
    unmapped = look(user={"uid": 70000, "gid": 0})
    assert "process.user.uid 70000 is not mapped" in failure_of(
        runtime, runtime.created[-1], unmapped
    )


@pytest.mark.parametrize("kind", ["mount", "pid", "cgroup", "all"])
def test_without_a_namespace(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, kind: str
) -> None:
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
    if kind not in ("mount", "all"):
        assert_like_the_first(runtime, made, sandbox)
        return
    said = output_of(runtime, runtime.up(made), process("sh", "-c", "pwd; ls /; echo /*"))
    assert sorted(said.split("\n")[1:-2]) == sorted(os.listdir(made.rootfs))


def test_with_a_filter(runtime: Runtime, bundle: MakeBundle) -> None:
    """... also when the program in the cache is gone, and in a container of an older version."""
    made = bundle(args=["sleep", "100"])
    made.config["linux"]["seccomp"] = profile("ALLOW", rule("mkdir mkdirat", "ERRNO", errnoRet=18))
    container = runtime.up(made)
    wanted = process("sh", "-c", "grep Seccomp: /proc/self/status; mkdir /tmp/x")
    for privileges in (False, True):
        said = output_of(runtime, container, {**wanted, "noNewPrivileges": privileges})
        assert said.startswith("Seccomp:\t2\n")
        assert "Invalid cross-device link" in said
    shutil.rmtree(runtime.root / ".seccomp")
    assert "Seccomp:\t2" in output_of(runtime, container, wanted)
    opened = Store(str(runtime.root)).open(container)
    try:
        assert opened.data.pop("seccomp_program")["flags"] >= 0
        opened.save()
    finally:
        opened.close()
    assert "Seccomp:\t2" in output_of(runtime, container, wanted)


def test_limits_of_the_cgroup(runtime: Runtime, bundle: MakeBundle) -> None:
    """v2 refuses a process more than pids.max when it is cloned, v1 only what that one forks."""
    made = bundle(args=["sleep", "100"]).set("/linux/resources/pids/limit", 1)
    container = runtime.up(made)
    try:
        said = output_of(runtime, container, process("sh", "-c", "ls / & wait"))
    except OciError as error:
        said = str(error)
    assert "an't fork" in said or "limit of processes is reached" in said


# --- the host side ----------------------------------------------------------------------------


def begin(container: Container, wanted: Process, null: int) -> tuple[Any, int]:
    """The exec whose process is let go, and the descriptor that it waits for."""
    options = ExecRequest()
    options.streams = (null, null, null)
    making = exec_patiently(container, wanted, options, Kernel())
    assert next(making) == AT_ONCE
    return making, next(making)[0]


def test_it_never_waits_for_the_container(runtime: Runtime, container: str) -> None:
    """A frozen container answers late; the caller has the loop back before, and can give up."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    runtime.call("pause", container).check()
    opened = Store(str(runtime.root)).open(container)
    try:
        with pytest.raises(OciError, match="paused"):
            begin(opened, process("true"), null)
        options = ExecRequest()
        options.streams = (null, null, null)
        options.ignore_paused = True
        making = exec_patiently(opened, process("true"), options, Kernel())
        assert next(making) == AT_ONCE
        fd, _ = next(making)
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
            enter.Proceed.execute = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
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


def test_streams_change_their_owner(runtime: Runtime, container: str) -> None:
    """Pipes do, files do not (CVE-2026-88265)."""
    script = "stat -L -c %u /proc/self/fd/0 /proc/self/fd/1"
    wanted = process("sh", "-c", script, user={"uid": 12, "gid": 0})
    assert output_of(runtime, container, wanted) == "0\n12\n"


def test_no_memory_is_copied(runtime: Runtime, container: str) -> None:
    """A copy of this process would take some hundred pages of ours, and we take them back."""

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        execute(runtime, container, process("true"))
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(faults() for _ in range(10)) < 100


@pytest.mark.skipif(not APPARMOR, reason="this host has no AppArmor")
@pytest.mark.parametrize("privileges", [False, True])
@pytest.mark.parametrize("inside", [False, True], ids=["no user namespace", "user namespace"])
def test_label(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, privileges: bool, inside: bool
) -> None:
    made = bundle(args=["sleep", "100"])
    if inside:
        made.add_namespace("user")
        for kind in ("uidMappings", "gidMappings"):
            made.set(f"/linux/{kind}", MAPPING)
        os.chown(made.rootfs, 200000, 200000)
    container = runtime.up(made)
    with loaded(sandbox.prefix) as name:
        script = "cat /proc/self/attr/current; (echo >/tmp/denied) 2>/dev/null || echo denied"
        wanted = process("sh", "-c", script, apparmorProfile=name, noNewPrivileges=privileges)
        assert output_of(runtime, container, wanted) == f"{name} (enforce)\ndenied\n"
        wanted["apparmorProfile"] = "nothing-like-it"
        assert "nothing-like-it" in failure_of(runtime, container, wanted)


@pytest.mark.skipif(APPARMOR, reason="this host has AppArmor")
def test_no_label(runtime: Runtime, container: str) -> None:
    wanted = process("true", apparmorProfile="unconfined")
    assert "AppArmor is not enabled" in failure_of(runtime, container, wanted)

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
from ociruntime.lifecycle.tenant import ExecOptions, exec_process
from ociruntime.state.store import Container, Store
from tests.support.apparmor import APPARMOR, loaded
from tests.support.descriptors import open_descriptors
from tests.support.runtime import TIMEOUT
from tests.support.seccomp import profile, rule

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
Process = dict[str, Any]
MAPPING = [{"containerID": 0, "hostID": 200000, "size": 65536}]

# All that a process can be told by, but for its pid and what names an object of its own.
LOOK = r"""
grep -vE '^(SigQ|Pid|Tgid|Ngid|PPid|NSpid|NStgid|NSpgid|NSsid|Vm|Rss|Huge|Threads|.*ctxt|State)' \
  /proc/self/status
cat /proc/self/cgroup /proc/self/limits /proc/self/oom_score_adj
for kind in mnt uts ipc net pid user cgroup; do readlink /proc/self/ns/$kind; done
pwd; env | sort
read pid name state parent group session terminal rest </proc/self/stat
[ $pid = $group ] && [ $pid = $session ] && echo leads a session, terminal $terminal
ls /proc/self/fd
stat -c %u /proc/self/fd/1
test ! -x /probe || /probe keyring
"""


def process(*args: str, **values: Any) -> Process:
    """A process as config.json has it."""
    made: Process = {
        "args": list(args),
        "cwd": "/",
        "env": ["PATH=/bin:/usr/bin"],
        "user": {"uid": 0, "gid": 0},
        "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
    }
    return {**made, **values}


def look(**values: Any) -> Process:
    return process("sh", "-c", LOOK, **values)


class Said:
    """What came of an exec: `status` is that of waitpid(2)."""

    def __init__(self, status: int, output: str, warnings: list[str]) -> None:
        self.status = status
        self.output = output
        self.warnings = warnings


Way = Callable[[Container, Process, ExecOptions], Any]


def by_copy(container: Container, wanted: Process, options: ExecOptions) -> Any:
    run = exec_process(container, wanted, options)
    run.close()
    return run


def by_program(container: Container, wanted: Process, options: ExecOptions) -> Any:
    assert entry.can_enter(container, wanted, options)
    making = entry.exec_patiently(container, wanted, options, Kernel())
    return the_rest(making, next(making))


def the_rest(making: Any, fd: int) -> Any:
    """What the generator that waits for ``fd`` returns."""
    while True:
        assert select.select([fd], [], [], TIMEOUT)[0], "it never answers"
        try:
            fd = next(making)
        except StopIteration as end:
            return end.value


WAYS = pytest.mark.parametrize("way", [by_copy, by_program])


def execute(runtime: Runtime, container: str, wanted: Process, way: Way) -> Said:
    """Run it to its end; raises `OciError`. Leaves no descriptor and no child."""
    read, write = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    options = ExecOptions()
    options.streams = (null, write, write)
    opened = Store(str(runtime.root)).open(container)
    before, family = open_descriptors(), children()
    try:
        run = way(opened, wanted, options)
        assert open_descriptors() == before
        os.close(write)
        write = -1
        with open(read, "rb", closefd=False) as file:
            output = file.read().decode(errors="surrogateescape")
        _, status = os.waitpid(run.pid, 0)
        return Said(os.waitstatus_to_exitcode(status), output, run.warnings)
    except OciError:
        assert open_descriptors() == before
        assert children() == family
        raise
    finally:
        opened.close()
        for fd in (read, write, null):
            if fd >= 0:
                os.close(fd)


def children() -> list[str]:
    """Our child processes."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def both(runtime: Runtime, container: str, wanted: Process) -> tuple[Said, Said]:
    one, other = (execute(runtime, container, wanted, way) for way in (by_copy, by_program))
    return one, other


def assert_same(runtime: Runtime, container: str, wanted: Process) -> str:
    """That both ways give one result; its output."""
    copy, program = both(runtime, container, wanted)
    assert program.output == copy.output
    assert (program.status, program.warnings) == (copy.status, copy.warnings)
    return program.output


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


# --- HOME -------------------------------------------------------------------------------------

PASSWDS = {
    "there": b"root:x:0:0::/root:/bin/sh\nu:x:12:34:name:/home/u:/bin/sh\n",
    "no newline": b"u:x:12:34:name:/home/u",
    "first of two": b"a:x:12:34::/one:\nb:x:12:34::/two:\n",
    "another uid": b"u:x:120:34::/home/u:\nv:x:1:2::/v:\nw:x::2::/w:\n",
    "no home": b"u:x:12:34:name::/bin/sh\nv:x:12:34::/second:\n",
    "too few fields": b"u:x:12:34:/home/u\n12\n:::::\nu:x:12",
    "leading zero": b"u:x:012:34::/home/u:\n",
    "nul": b"u:x:12:34::/ho\0me:\n",
    "spaces": b"u:x: 12:34::/no:\nu:x:12:34:: /ho me :\n",
    "bytes": b"u:x:12:34::/\xff\xc3\xa4:\n",
    "carriage return": b"u:x:12:34::/home/u:/bin/sh\r\n",
    "long lines": b"#" * 5000 + b"\nu:" + b"x" * 3000 + b":12:34::/home/u:\n",
    "at the end of the limit": b"\n" * ((1 << 20) - 20) + b"u:x:12:34::/home/u:\n",
    "cut by the limit": b"\n" * ((1 << 20) - 16) + b"u:x:12:34::/home/u:\n",
    "behind the limit": b"\n" * (1 << 20) + b"u:x:12:34::/home/u:\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", PASSWDS)
def test_home(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc").mkdir(exist_ok=True)
    (made.rootfs / "etc" / "passwd").write_bytes(PASSWDS[name])
    container = runtime.up(made)
    wanted = process("sh", "-c", "env | od -c", user={"uid": 12, "gid": 34})
    assert_same(runtime, container, wanted)


def test_home_is_that_of_the_uid(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc").mkdir(exist_ok=True)
    (made.rootfs / "etc" / "passwd").write_bytes(PASSWDS["there"] + b"big:x:4294967294:1::/big:\n")
    container = runtime.up(made)
    homes = {12: "/home/u\n", 0: "/root\n", 13: "/\n", 4294967294: "/big\n"}
    for uid, home in homes.items():
        user = {"uid": uid, "gid": 34}
        assert assert_same(runtime, container, process("sh", "-c", "echo $HOME", user=user)) == home
    given = process(
        "sh", "-c", "echo $HOME", env=["PATH=/bin", "HOME="], user={"uid": 12, "gid": 1}
    )
    assert assert_same(runtime, container, given) == "/home/u\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop", "missing", "outside"])
def test_home_with_a_strange_passwd(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """Neither is waited for, and nothing outside of the container is read."""
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "etc").mkdir(exist_ok=True)
    (made.rootfs / "etc" / "passwd").unlink(missing_ok=True)
    place = made.rootfs / "etc" / "passwd"
    secret = made.path / "secret"
    secret.write_text("u:x:12:34::/secret:\n")
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "loop":
        place.symlink_to("passwd")
    elif kind == "outside":
        place.symlink_to(Path("../../../../../..") / str(secret).lstrip("/"))
    container = runtime.up(made)
    wanted = process("sh", "-c", "echo $HOME", user={"uid": 12, "gid": 34})
    assert assert_same(runtime, container, wanted) == "/\n"


# --- programs ---------------------------------------------------------------------------------


@pytest.fixture
def programs(runtime: Runtime, bundle: MakeBundle) -> str:
    """A container whose image has good and bad programs."""
    made = bundle(args=["sleep", "100"])
    for name in ("one", "two"):
        place = made.rootfs / name
        place.mkdir()
        (place / "tool").write_text(f"#!/bin/sh\necho {name} $0 $@\n")
    (made.rootfs / "one" / "tool").chmod(0o644)
    (made.rootfs / "two" / "tool").chmod(0o755)
    (made.rootfs / "two" / "foreign").write_bytes(b"\0\1\2\3")
    (made.rootfs / "two" / "foreign").chmod(0o755)
    (made.rootfs / "two" / "broken").write_text("#!/nowhere/interpreter\n")
    (made.rootfs / "two" / "broken").chmod(0o755)
    (made.rootfs / "link").symlink_to("/two/tool")
    (made.rootfs / "loop").symlink_to("loop")
    (made.rootfs / "file").write_text("")
    return runtime.up(made)


@pytest.mark.parametrize(
    ("program", "path", "cwd", "output"),
    [
        ("tool", "/one:/two", "/", "two /two/tool a b\n"),
        ("tool", "/nowhere:/file:/loop:/one::/two", "/", "two /two/tool a b\n"),
        ("tool", "/two:/two", "/", "two /two/tool a b\n"),
        ("tool", ":/one", "/two", "two ./tool a b\n"),
        ("tool", "two", "/", "two two/tool a b\n"),
        ("./tool", "/one", "/two", "two ./tool a b\n"),
        ("../two/tool", "/one", "/one", "two ../two/tool a b\n"),
        ("/link", "", "/one", "two /link a b\n"),
    ],
)
def test_found(
    runtime: Runtime, programs: str, program: str, path: str, cwd: str, output: str
) -> None:
    wanted = process(program, "a", "b", env=[f"PATH={path}"], cwd=cwd)
    assert assert_same(runtime, programs, wanted) == output


def failures(runtime: Runtime, container: str, wanted: Process) -> str:
    """The words with which both ways fail, one line."""
    words = []
    for way in (by_copy, by_program):
        with pytest.raises(OciError) as caught:
            execute(runtime, container, wanted, way)
        words.append(str(caught.value))
    assert words[0] == words[1]
    assert "\n" not in words[0]
    return words[0]


@pytest.mark.parametrize(
    ("program", "values", "words"),
    [
        ("no-such", {}, "executable file not found in $PATH"),
        ("no-such", {"env": []}, "executable file not found in $PATH"),
        ("", {}, "executable file not found in $PATH"),
        ("tool", {"env": ["PATH=/nowhere:/one"]}, "/one/tool cannot be executed"),
        ("/nowhere", {}, "stat /nowhere: no such file or directory"),
        ("/one", {}, "is a directory: permission denied"),
        ("/one/tool", {}, "permission denied"),
        ("/loop", {}, "too many levels of symbolic links"),
        ("/file/x", {}, "not a directory"),
        ("/two/foreign", {}, "exec format error"),
        ("/two/broken", {}, "no such file or directory"),
        ("sh", {"cwd": "/nowhere"}, "process.cwd /nowhere"),
        ("sh", {"cwd": "/file"}, "it is not a directory in the container"),
        ("sh", {"cwd": "/loop"}, "process.cwd /loop"),
        ("sh", {"cwd": "/proc/self/fd/3"}, "process.cwd /proc/self/fd/3"),
        ("sh", {"cwd": "/proc/1/cwd"}, "it leads through a magic link"),
        ("/" + "x" * 5000, {}, "file name too long"),
        ("/proc/self/exe", {}, "too many levels of symbolic links"),
    ],
)
def test_failures(
    runtime: Runtime, programs: str, program: str, values: dict[str, Any], words: str
) -> None:
    assert words in failures(runtime, programs, process(program, **values))


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

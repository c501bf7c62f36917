"""A container of a normal user, and of root inside a user namespace (docs/rootless.md)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Result, Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
UID = 12345
GRANTED = 300_000
AS_USER = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
# Root of a user namespace of that user's.
AS_ROOT_INSIDE = (*AS_USER, "unshare", "--user", "--map-root-user")
HELPERS = ("/usr/bin/newuidmap", "/usr/bin/newgidmap")
GRANTS = ("/etc/subuid", "/etc/subgid")


class User:
    """A user without a line in /etc/passwd, with a bundle and an XDG_RUNTIME_DIR."""

    def __init__(self, runtime: Runtime, bundle: Bundle, directory: Path) -> None:
        self.runtime = runtime
        self.bundle = bundle
        self.directory = directory
        self.wrapper: tuple[str, ...] = AS_USER
        directory.mkdir(mode=0o700)
        os.chown(directory, UID, UID)
        runtime.root = directory / "ociruntime"
        for parent, names, files in os.walk(bundle.path):
            for name in (*names, *files):
                os.lchown(os.path.join(parent, name), UID, UID)
        os.chown(bundle.path, UID, UID)
        marker = bundle.config["process"]["env"][-1]
        self.call("spec", "--rootless", cwd=bundle.path).check()
        bundle.config = json.loads((bundle.path / "config.json").read_text())
        bundle.config["process"]["terminal"] = False
        bundle.config["process"]["env"].append(marker)

    @property
    def linux(self) -> dict[str, Any]:
        """The config's linux."""
        found: dict[str, Any] = self.bundle.config["linux"]
        return found

    def call(self, *args: str, **how: Any) -> Result:
        env = {"XDG_RUNTIME_DIR": str(self.directory)}
        return self.runtime.call(*args, env=env, wrapper=self.wrapper, **how)

    def run(self, script: str) -> Result:
        self.bundle.shell(script).write()
        name = self.bundle.name
        return self.call("run", "--bundle", str(self.bundle.path), name)

    def output(self, script: str) -> str:
        return self.run(script).check().stdout


@pytest.fixture
def user(runtime: Runtime, bundle: MakeBundle, sandbox: Any) -> User:
    if not runtime.is_ours:
        pytest.skip("runs ociruntime's own rootless config")
    return User(runtime, bundle(), sandbox.directory / "xdg")


def test_spec_and_run(user: User) -> None:
    """What the README promises: a normal user, two commands."""
    assert user.output("id -u; id -g; cat /proc/self/setgroups; echo $$").split() == [
        "0",
        "0",
        "deny",
        "1",
    ]


def test_loopback(user: User) -> None:
    kinds = [entry["type"] for entry in user.linux["namespaces"]]
    if "network" not in kinds:
        user.linux["namespaces"].append({"type": "network"})
    assert "127.0.0.1\n" in user.output("cat /proc/net/fib_trie")


def test_trace(user: User) -> None:
    """The memfd of the trace is written by init in its user namespace, too."""
    trace = user.directory / "trace.json"
    user.runtime.global_options = ("--trace", str(trace))
    user.run("exit 0").check()
    events = json.loads(trace.read_text())["traceEvents"]
    steps = {(event["args"].get("step"), event["tid"]) for event in events if event["ph"] == "X"}
    assert {("spawn", 0), ("pivot-root", 1), ("exec-init", 1)} <= steps
    assert trace.stat().st_uid == UID


def test_the_state_is_in_the_runtime_directory(user: User) -> None:
    user.bundle.args = ["sleep", "100"]
    user.bundle.write()
    wrapper = (*AS_USER, "env", f"XDG_RUNTIME_DIR={user.directory}", str(user.runtime.binary))
    name = user.bundle.name

    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (*wrapper, *args),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if args[0] != "run" else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
        )

    call("run", "--detach", "--bundle", str(user.bundle.path), name)
    try:
        assert (user.directory / "ociruntime" / name / "state.json").exists()
        assert call("exec", name, "id", "-u").stdout == "0\n"
        assert json.loads(call("state", name).stdout)["status"] == "running"
    finally:
        call("delete", "--force", name)
    assert not (user.directory / "ociruntime" / name).exists()


def test_cgroups_that_are_not_delegated(user: User) -> None:
    """Nothing was asked for: the container stays where its caller is, with a warning."""
    result = user.run("true")
    assert result.check().stderr == "" or "stays in the runtime's own cgroup" in result.stderr


def test_no_limit_needs_no_cgroup(user: User) -> None:
    """podman up to 5.4 writes pids.limit 0 for "unlimited", others -1."""
    for pids in (0, -1):
        user.linux["resources"] = {"pids": {"limit": pids}, "memory": {"limit": -1}}
        user.bundle.set("/ociVersion", "1.2.0")
        assert user.output("echo runs") == "runs\n"


def test_a_limit_needs_delegation(user: User) -> None:
    user.linux["resources"] = {"memory": {"limit": 1 << 26}}
    assert_clear(user.runtime, user.run("true"), "cgroup")


def test_devices_are_the_hosts(user: User) -> None:
    user.linux["devices"] = []
    script = "for d in null zero full random urandom tty; do stat -c %t:%T /dev/$d; done"
    assert user.output(script).split() == ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0"]


def test_sys_is_read_only_with_all_below(user: User) -> None:
    """CVE-2023-25809: no cgroup of the host can be written through /sys."""
    script = 'awk \'$5 ~ "^/sys" && $6 !~ "^ro"\' /proc/self/mountinfo'
    assert user.output(script) == ""


def test_a_group_that_is_not_mapped(user: User) -> None:
    user.bundle.mount("/dev/pts")["options"].append("gid=5")
    assert_clear(user.runtime, user.run("true"), "gid=5", "gidMappings")


def test_exec_of_ids_that_are_not_mapped(user: User) -> None:
    """Also where a user namespace is joined, whose mappings no config tells."""
    user.bundle.args = ["sleep", "100"]
    user.bundle.write()
    name = user.bundle.name
    # A container that goes on running must not hold the pipes of its maker.
    command = [*AS_USER, "env", f"XDG_RUNTIME_DIR={user.directory}", str(user.runtime.binary)]
    command += ["run", "--detach", "--bundle", str(user.bundle.path), name]
    null = subprocess.DEVNULL
    subprocess.run(command, check=True, stdin=null, stdout=null, stderr=null, timeout=PATIENCE)
    try:
        for ids, word in (("5", "process.user.uid 5"), ("0:7", "process.user.gid 7")):
            result = user.call("exec", "--user", ids, name, "id")
            assert_clear(user.runtime, result, word, "is not mapped", status=255)
    finally:
        user.call("delete", "--force", name).check()


def test_oom_score_of_an_exec(user: User) -> None:
    """podman gives exec the one of the container; the process is not the user's to open then."""
    user.bundle.args = ["sleep", "100"]
    user.bundle.set("/process/oomScoreAdj", 200).write()
    name = user.bundle.name
    command = [*AS_USER, "env", f"XDG_RUNTIME_DIR={user.directory}", str(user.runtime.binary)]
    command += ["run", "--detach", "--bundle", str(user.bundle.path), name]
    null = subprocess.DEVNULL
    subprocess.run(command, check=True, stdin=null, stdout=null, stderr=null, timeout=PATIENCE)
    look = "cat /proc/self/oom_score_adj /proc/1/oom_score_adj"
    process = {"args": ["sh", "-c", look], "cwd": "/", "env": ["PATH=/usr/bin:/bin"]}
    file = user.directory / "process.json"
    try:
        for score in (300, 200):
            file.write_text(json.dumps({**process, "oomScoreAdj": score}))
            result = user.call("exec", "--process", str(file), name).check()
            assert result.stdout.split() == [str(score), "200"]
        file.write_text(json.dumps({**process, "oomScoreAdj": -5}))
        result = user.call("exec", "--process", str(file), name)
        assert_clear(user.runtime, result, "oomScoreAdj -5", "CAP_SYS_RESOURCE", status=255)
    finally:
        user.call("delete", "--force", name).check()


def test_rootfs_out_of_reach(user: User) -> None:
    """Of the directories above, and of the rootfs itself."""
    user.bundle.rootfs.chmod(0o700)
    os.chown(user.bundle.rootfs, 0, 0)
    assert_clear(user.runtime, user.run("true"), "EACCES", "may not reach", "mode of the rootfs")
    above = user.bundle.path / "above"
    above.mkdir(mode=0o700)
    user.bundle.rootfs.rename(above / "rootfs")
    user.bundle.config["root"]["path"] = "above/rootfs"
    assert_clear(user.runtime, user.run("true"), "root.path", "EACCES", "chmod o+x")


def test_additional_groups(user: User) -> None:
    """A single gid mapping gives up setgroups for good."""
    user.bundle.config["process"]["user"]["additionalGids"] = [0]
    assert_clear(user.runtime, user.run("true"), "additionalGids", "setgroups")


def test_no_user_namespace(user: User) -> None:
    user.bundle.drop_namespace("user")
    del user.linux["uidMappings"], user.linux["gidMappings"]
    assert_clear(user.runtime, user.run("true"), "needs root", "spec --rootless")


def test_idmapped_mounts(user: User) -> None:
    user.bundle.bind("/etc/hostname", "/mnt/name", ["bind", "idmap"])
    assert_clear(user.runtime, user.run("true"), "idmapped", "root of the host")


@pytest.mark.parametrize(
    "names", [["uidMappings"], ["gidMappings"], ["uidMappings", "gidMappings"]]
)
def test_ids_of_others(user: User, names: list[str]) -> None:
    """Nobody has granted them: the helper says so, and we say where they are granted."""
    for name in names:
        user.linux[name].append({"containerID": 1, "hostID": GRANTED, "size": 10})
    result = user.run("true")
    assert_clear(user.runtime, result, names[-1][:3], "/etc/sub", "300000-300009")


def granted(directory: Path, line: str) -> tuple[str, ...]:
    """A wrapper: a mount namespace in which /etc grants ids to the user, whom it names."""
    passwd, grants = directory / "passwd", directory / "grants"
    passwd.write_text(f"root:x:0:0::/root:/bin/sh\nsomebody:x:{UID}:{UID}::/:/bin/sh\n")
    grants.write_text(line)
    script = (
        f"mount --bind {passwd} /etc/passwd"
        f" && mount --bind {grants} /etc/subuid && mount --bind {grants} /etc/subgid"
        ' && exec "$@"'
    )
    return ("unshare", "--mount", "sh", "-c", script, "sh")


@pytest.mark.skipif(
    not all(os.path.exists(path) for path in HELPERS + GRANTS), reason="no newuidmap, newgidmap"
)
class TestGrantedIds:
    """With lines in /etc/subuid and /etc/subgid."""

    @pytest.fixture(autouse=True)
    def grant(self, user: User, tmp_path: Path) -> None:
        user.wrapper = (*granted(tmp_path, f"somebody:{GRANTED}:1000\n"), *AS_USER)
        for name in ("uidMappings", "gidMappings"):
            user.linux[name].append({"containerID": 1, "hostID": GRANTED, "size": 1000})

    def test_ranges(self, user: User) -> None:
        script = (
            "touch /tmp/f && chown 7:8 /tmp/f && stat -c %u:%g /tmp/f; cat /proc/self/setgroups"
        )
        user.bundle.config["root"]["readonly"] = False
        user.bundle.add_capabilities("CAP_CHOWN")
        assert user.output(script).split() == ["7:8", "allow"]

    def test_other_user_with_groups(self, user: User) -> None:
        user.bundle.config["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
        assert user.output("id -u; id -G").split() == ["5", "6", "7"]

    def test_more_than_granted(self, user: User) -> None:
        user.linux["uidMappings"][-1]["size"] = 1001
        assert_clear(user.runtime, user.run("true"), "uidMappings", "newuidmap", "/etc/subuid")


class TestRootInside:
    """Root of a user namespace, as `unshare --map-root-user` and podman's make it."""

    @pytest.fixture(autouse=True)
    def inside(self, user: User) -> None:
        user.wrapper = AS_ROOT_INSIDE

    def test_one_more_user_namespace(self, user: User) -> None:
        for name in ("uidMappings", "gidMappings"):
            user.linux[name] = [{"containerID": 0, "hostID": 0, "size": 1}]
        assert user.output("id -u; cat /proc/self/setgroups").split() == ["0", "deny"]

    def test_no_user_namespace_of_its_own(self, user: User) -> None:
        user.bundle.drop_namespace("user")
        del user.linux["uidMappings"], user.linux["gidMappings"]
        assert user.output("cat /proc/self/uid_map").split() == ["0", str(UID), "1"]

    @pytest.mark.parametrize("mounts", [False, True], ids=["", "with its own mounts"])
    def test_cgroups_of_the_caller(self, user: User, mounts: bool) -> None:
        """As podman asks for them on cgroup v1: without a namespace, and with no cgroup to make."""
        user.wrapper += ("--mount",) * mounts
        user.bundle.drop_namespace("user").drop_namespace("cgroup")
        del user.linux["uidMappings"], user.linux["gidMappings"]
        options = ["nosuid", "noexec", "nodev", "ro"]
        entry = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
        user.bundle.config["mounts"].append({**entry, "options": options})
        found = user.output("find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | wc -l")
        shown = detect(Kernel()).hierarchies
        assert int(found) >= max(sum(1 for item in shown if item.key), 1)

    def test_an_id_it_does_not_have(self, user: User) -> None:
        result = user.run("true")
        assert_clear(user.runtime, result, f"gid {UID} is not mapped", "it has 0")


def offsets_of(user: User) -> dict[str, str]:
    user.bundle.set("/linux/timeOffsets", {"boottime": {"secs": 7}}).add_namespace("time")
    lines = user.output("cat /proc/self/timens_offsets").splitlines()
    return {line.split()[0]: line.split()[1] for line in lines}


def test_time_offsets(user: User) -> None:
    """The file that they are written to belongs to root while the process is not dumpable."""
    assert offsets_of(user) == {"monotonic": "0", "boottime": "7"}


def test_time_offsets_beside_a_joined_user_namespace(user: User) -> None:
    holder = subprocess.Popen([*AS_ROOT_INSIDE, "sleep", "100"])
    try:
        _wait_for_maps(holder.pid)
        user.bundle.drop_namespace("user")
        user.bundle.add_namespace("user", f"/proc/{holder.pid}/ns/user")
        del user.linux["uidMappings"], user.linux["gidMappings"]
        assert offsets_of(user) == {"monotonic": "0", "boottime": "7"}
    finally:
        holder.kill()
        holder.wait()


def test_joined_user_namespace(user: User) -> None:
    """The namespace has given up setgroups: said, and no reason to fail."""
    holder = subprocess.Popen([*AS_ROOT_INSIDE, "sleep", "100"])
    try:
        _wait_for_maps(holder.pid)
        user.bundle.drop_namespace("user")
        user.bundle.add_namespace("user", f"/proc/{holder.pid}/ns/user")
        del user.linux["uidMappings"], user.linux["gidMappings"]
        result = user.run("id -u").check()
        assert result.stdout == "0\n"
        assert "setgroups" in result.stderr
    finally:
        holder.kill()
        holder.wait()


def _wait_for_maps(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    # That of the host, which it has at first, begins with a 0, too.
    while Path(f"/proc/{pid}/gid_map").read_text().split() != ["0", str(UID), "1"]:
        assert time.monotonic() < deadline, "unshare(1) did not write its maps"
        time.sleep(0.005)

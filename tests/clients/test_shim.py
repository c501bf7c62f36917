"""Our own containerd shim where Debian's cannot be compared: processes, pods, crashes, floods."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.agent import Agent
from ociruntime.shim import messages as m
from ociruntime.shim import ttrpc
from ociruntime.shim.shared import ANNOTATION
from tests.clients.conftest import NODE_OPTIONS
from tests.clients.test_containerd import events
from tests.support.bundle import Bundle
from tests.support.engines import metrics
from tests.support.engines.containerd import IMAGE, ContainerdWith
from tests.support.engines.docker import CLIENT, DockerWith
from tests.support.engines.host import RESIZED
from tests.support.engines.ttrpc import Refused, TaskClient
from tests.support.patience import PATIENCE
from tests.support.sandbox import Sandbox
from tests.support.seccomp import profile, rule

# A stranger who gets past the modes of directory and socket is cut off for his uid.
STRANGER = """import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(os.geteuid(), s.recv(1))"""


def test_one_small_process_per_container(shim: ContainerdWith) -> None:
    container = shim.up("--", "sleep", "1000")
    (pid,) = shim.shims()
    assert f"-id {container}" in shim.shims()[pid]
    inside = Path(f"/proc/{shim.host.init}/root/proc/{pid}")
    assert len(os.listdir(inside / "task")) == 1
    children = (inside / "task" / str(pid) / "children").read_text().split()
    assert children == [str(shim.tasks()[container][0])]


def test_the_socket_is_roots_alone(shim: ContainerdWith) -> None:
    shim.up("--", "sleep", "1000")
    place = Path(f"/proc/{shim.host.init}/root/run/containerd/s")
    (socket,) = place.iterdir()
    assert stat.S_ISSOCK(socket.stat().st_mode)
    assert socket.stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o077 == 0
    # No abstract socket: any process of a network namespace could connect to it (CVE-2020-15257).
    names = shim.host.shell("cat /proc/net/unix").split()
    assert not [name for name in names if name.startswith("@") and "containerd" in name]


def client(shim: ContainerdWith) -> TaskClient:
    """A connection to the only shim there is."""
    (path,) = Path(f"/proc/{shim.host.init}/root/run/containerd/s").iterdir()
    return TaskClient(path)


def test_strangers_are_not_served(shim: ContainerdWith) -> None:
    shim.up("--", "sleep", "1000")
    path = shim.host.shell("ls /run/containerd/s/*").strip()
    caps = "+dac_override,+dac_read_search"
    words = ("setpriv", "--reuid=1000", "--clear-groups", f"--inh-caps={caps}",
             f"--ambient-caps={caps}", "/usr/bin/python3", "-c", STRANGER, path)  # fmt: skip
    assert shim.host.run(*words).check().stdout == "1000 b''\n"


def test_limits_of_messages(shim: ContainerdWith) -> None:
    """What is too long, or is no message at all, is refused; the connection lives on."""
    container = shim.up("--", "sleep", "1000")
    with client(shim) as connection:
        with pytest.raises(Refused) as refused:
            connection.send(b"x" * (ttrpc.LONGEST_PAYLOAD + 1))
        assert refused.value.code == ttrpc.RESOURCE_EXHAUSTED
        with pytest.raises(Refused) as refused:
            connection.send(b"\xff" * 100)
        assert refused.value.code == ttrpc.INVALID_ARGUMENT
        with pytest.raises(Refused) as refused:
            connection.call("Migrate", m.PROCESS_KEY, m.EMPTY, id=container)
        assert refused.value.code == ttrpc.UNIMPLEMENTED
        answer = connection.call("Connect", m.PROCESS_KEY, m.CONNECT_RESPONSE, id=container)
    assert answer["shim_pid"] in shim.shims()
    assert answer["task_pid"] == shim.tasks()[container][0]


def test_update(shim: ContainerdWith) -> None:
    container = shim.up("--memory-limit", "50000000", "--", "sleep", "1000")

    def update(resources: object) -> None:
        value = json.dumps(resources).encode()
        any_ = {"type_url": "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
                "value": value}  # fmt: skip
        with client(shim) as connection:
            connection.call("Update", m.UPDATE, m.EMPTY, id=container, resources=any_)

    def limit() -> int:
        lines = shim("tasks", "metrics", container).check().stdout.splitlines()
        values = dict(line.split()[:2] for line in lines if len(line.split()) == 2)
        return int(values["memory.limit_in_bytes"])

    assert limit() == 50000000 // 4096 * 4096
    update({"memory": {"limit": 1 << 26}, "cpu": None})
    assert limit() == 1 << 26
    with pytest.raises(Refused, match="limit"):
        update({"memory": {"limit": "much"}})
    assert limit() == 1 << 26


def test_exec_leaves_no_descriptor_in_the_shim_and_takes_none_along(shim: ContainerdWith) -> None:
    """The daemon makes the process itself, of its own copy."""
    container = shim.up("--", "sleep", "1000")
    (pid,) = shim.shims()
    count = f"ls /proc/{pid}/fd | wc -l"
    words = ("tasks", "exec", "--exec-id", "e")
    shim(*words, container, "true").check()
    before = shim.host.shell(count)
    seen = shim(*words, container, "ls", "/proc/self/fd").check().stdout.split()
    assert seen == ["0", "1", "2", "3"]  # the last is ls's own
    tty = shim.daemon.terminal(*words, "--tty", container, "ls", "/proc/self/fd", keys="")
    assert tty.stdout.split() == seen
    for _ in range(3):
        done = shim(*words, container, "no-such-program")
        assert "executable file not found in $PATH" in done.stderr
    shim.host.wait_until(lambda: shim.host.shell(count) == before, count, shim.daemon.log)


def test_exec_with_what_would_change_the_shim_itself(shim: ContainerdWith) -> None:
    """Such an exec is a worker's."""
    container = shim.up("--", "sleep", "1000")
    (pid,) = shim.shims()
    allowed = f"grep Cpus_allowed_list: /proc/{pid}/status"
    before = shim.host.shell(allowed)
    process = {"args": ["sh", "-c", "grep -q '_list:.0$' /proc/self/status"], "cwd": "/",
               "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
               "execCPUAffinity": {"initial": "0", "final": "0"}}  # fmt: skip
    spec = {"type_url": "types.containerd.io/opencontainers/runtime-spec/1/Process",
            "value": json.dumps(process).encode()}  # fmt: skip
    key = {"id": container, "exec_id": "pinned"}
    with client(shim) as connection:
        connection.call("Exec", m.EXEC, m.EMPTY, **key, spec=spec)
        connection.call("Start", m.PROCESS_KEY, m.PID, **key)
        ended = connection.call("Wait", m.PROCESS_KEY, m.WAIT_RESPONSE, **key)
        connection.call("Delete", m.PROCESS_KEY, m.DELETE_RESPONSE, **key)
    assert ended["exit_status"] == 0
    assert shim.host.shell(allowed) == before


def test_exec_with_a_seccomp_agent(
    shim: ContainerdWith, bundle: Callable[..., Bundle], sandbox: Sandbox
) -> None:
    """The agent is the shim's to talk to, but not the daemon's: a worker does it."""
    path = sandbox.directory / "test-agent.sock"
    made = bundle(["/bin/sleep", "1000"]).set("/root/path", "rootfs")
    made.set("/root/path", str(made.rootfs))
    made.config["linux"]["cgroupsPath"] = f"{shim.host.cgroup_parent}/{shim.new_id()}"
    made.config["linux"]["seccomp"] = profile(
        "ALLOW", rule("mkdir mkdirat", "NOTIFY"), listenerPath=str(path)
    )
    made.write()
    with Agent(path, errno.EXDEV) as agent:
        config = str(made.path / "config.json")
        runtime = ("--runtime", "io.containerd.ociruntime.v1")
        shim("run", "--detach", *runtime, "--config", config, shim.ids[-1]).check()
        for name in ("first", "second"):
            words = ("tasks", "exec", "--exec-id", name, shim.ids[-1], "/bin/mkdir", "/tmp/x")
            done = shim(*words)
            assert done.status == 1, done
            assert "Invalid cross-device link" in done.stderr
        assert [each.counts[0] for each in agent.deliveries] == [1, 1, 1]
        shim("tasks", "delete", "--force", shim.ids[-1])
    without = shim.ids[-1]
    assert without not in shim.tasks()


def test_shim_in_a_cgroup_of_its_own(shim: ContainerdWith) -> None:
    """The options of a configuration file, which containerd gives to runtimes it does not know."""
    name = f"{shim.host.cgroup_parent}/shim-alone"
    options = f'ShimCgroup = "{name}"\nRoot = "/run/another-root"\n'
    shim.host.run("tee", "/run/shim.toml", stdin=options).check()
    container = shim.up("--runtime-config-path", "/run/shim.toml", "--", "sleep", "1000")
    (pid,) = shim.shims()
    lines = shim.host.shell(f"cat /proc/{pid}/cgroup").splitlines()
    assert lines
    assert all(line.endswith(f":{name}") for line in lines), lines
    task = shim.host.shell(f"cat /proc/{shim.tasks()[container][0]}/cgroup")
    assert name not in task
    assert container in task
    assert shim.host.shell("ls /run/another-root/default").split() == [container]
    # Another pod's shim may share it.
    shim.up("--runtime-config-path", "/run/shim.toml", "--", "sleep", "1000")
    assert len(shim.shims()) == 2
    for other in shim.shims():
        assert name in shim.host.shell(f"cat /proc/{other}/cgroup")


@pytest.mark.parametrize("attack", ["fds", "exes"])
def test_a_container_learns_nothing_of_who_execs(
    shim: ContainerdWith, probe: Path, attack: str
) -> None:
    """CVE-2016-9962, CVE-2019-5736: what becomes the program is a copy of the daemon."""
    shim.host.shell("echo >/run/secret")
    found = "seen 0 "
    for seconds in ("3", "60"):  # once more where nobody came in time
        log = f"/run/seen-{attack}-{seconds}"
        words = {"fds": ("fds", "/run/secret", seconds), "exes": ("exes", seconds)}[attack]
        container = shim.new_id()
        mount = f"type=bind,src={probe},dst=/probe,options=rbind:ro"
        shim(*shim.words("--detach", "--log-uri", f"file://{log}", "--mount", mount, "--",
                         "/probe", *words)).check()  # fmt: skip
        entered = 0
        while shim.tasks()[container][1] == "RUNNING":
            done = shim("tasks", "exec", "--exec-id", f"e{entered}", container, "sleep", "0.1")
            entered += done.status == 0
        written = lambda name=log: "seen" in shim.host.shell(f"cat {name}")  # noqa: E731
        shim.host.wait_until(written, log, shim.daemon.log)
        found = shim.host.shell(f"cat {log}")
        if "seen 0 " not in found:
            break
    assert "seen 0 " not in found, "nobody came: the test proves nothing"
    assert found.rstrip().endswith(("opened 0 traced 0", "written 0")), found[:2000]


def test_a_pod_has_one_shim(shim: ContainerdWith) -> None:
    group = ("--annotation", "io.kubernetes.cri.sandbox-id=the-pod")
    containers = [shim.up(*group, "--", "sleep", "1000") for _ in range(5)]
    assert len(shim.shims()) == 1
    shim("tasks", "delete", "--force", containers[0])
    assert len(shim.shims()) == 1
    for container in containers[1:]:
        assert shim("tasks", "exec", "--exec-id", "e", container, "true").check().status == 0
    again = shim.up(*group, "--", "sleep", "1000")
    assert len(shim.shims()) == 1
    for container in (*containers[1:], again):
        shim("tasks", "delete", "--force", container)
    shim.host.wait_until(lambda: not shim.shims(), "the end of the pod's shim", shim.daemon.log)


def test_death_of_the_shim(shim: ContainerdWith) -> None:
    """containerd calls `delete`, which ends the container and removes what the shim knew of."""
    container = shim.up("--", "sleep", "5432")
    (pid,) = shim.shims()
    shim.host.shell(f"kill -9 {pid}")
    shim.wait_for(container, "gone")

    def left() -> list[str]:
        """What there is of it: containerd forgets the task before `delete` has done its work."""
        mounts = shim.host.shell("cat /proc/self/mountinfo").splitlines()
        found = [line for line in mounts if container in line]
        found += [f"process {pid}" for pid in shim.processes("^sleep 5432")]
        found += shim.cgroups(container)
        for place in ("/run/containerd/ociruntime/default", "/run/containerd/s"):
            found += shim.host.run("ls", place).stdout.split()
        return found

    shim.host.wait_until(lambda: not left(), "the end of all that was its", shim.daemon.log)
    shim("containers", "delete", container).check()


@pytest.mark.parametrize(
    ("daemon", "signal"), [("pod", "TERM"), ("namespace", "TERM"), ("namespace", "KILL")]
)
def test_restart_of_containerd(node: ContainerdWith, daemon: str, signal: str) -> None:
    """Containers go on, are found again, and what happened meanwhile is known: how one has ended,
    what it has said, and that of an exec.
    """
    options = ["--runtime-config-path", NODE_OPTIONS, "--annotation", f"{ANNOTATION}={daemon}"]
    stays = node.up(*options, "--", "sleep", "1000")
    log = f"/run/said-{daemon}-{signal}"
    script = "until test -e /end; do sleep 0.05; done; echo said; exit 9"
    ends = node.up(*options, "--log-uri", f"file://{log}", "--", "sh", "-c", script)
    words = ["tasks", "exec", "--detach", "--exec-id", "e", stays, "sh", "-c", script]
    node(*words).check()
    node.daemon.stop(signal)
    for pid in node.processes("until test -e /end"):
        node.host.shell(
            f": >/proc/{pid}/root/end; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"
        )
    node.daemon.start()
    seen = node.daemon.directory / f"events-{daemon}-{signal}"
    node.host.start("ctr", "--address", "/run/containerd.sock", "events", log=seen)
    assert node.tasks()[stays][1] == "RUNNING"
    node.wait_for(ends, "STOPPED")
    assert node.host.shell(f"cat {log}") == "said\n"
    assert "exit code 9" in node("tasks", "delete", ends).stderr
    with metrics.client(node, stays) as connection:
        ended = connection.call("Wait", m.PROCESS_KEY, m.WAIT_RESPONSE, id=stays, exec_id="e")
    assert ended["exit_status"] == 9
    done = node("tasks", "exec", "--exec-id", "f", stays, "echo", "back").check()
    assert done.stdout == "back\n"
    node("tasks", "kill", "--signal", "KILL", stays).check()
    node.wait_for(stays, "STOPPED")
    told = lambda: "/tasks/exit" in [topic for topic, _ in events(seen, stays)]  # noqa: E731
    node.host.wait_until(told, "its end", seen)


def test_ends_while_containerd_is_away_for_long(node: ContainerdWith) -> None:
    """Their events come when it is back: longer than it takes to start anew, as for an update."""
    ends = []
    script = "until test -e /end; do sleep 0.05; done; exit 9"
    for daemon in ("pod", "namespace"):
        options = ["--runtime-config-path", NODE_OPTIONS, "--annotation", f"{ANNOTATION}={daemon}"]
        ends.append(node.up(*options, "--", "sh", "-c", script))
    node.daemon.stop()
    for pid in node.processes("until test -e /end"):
        node.host.shell(
            f": >/proc/{pid}/root/end; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"
        )
    before = len(node.daemon.log.read_text())
    time.sleep(8)
    node.daemon.start()

    def told() -> int:
        lines = node.daemon.log.read_text()[before:].splitlines()
        return sum("event forwarded" in line and "/tasks/exit" in line for line in lines)

    node.host.wait_until(lambda: told() == len(ends), "their ends", node.daemon.log)
    for container in ends:
        assert "exit code 9" in node("tasks", "delete", container).stderr


def test_output_that_nobody_reads(shim: ContainerdWith) -> None:
    """A full fifo stops the writer, not the shim; killing the writer works."""
    container = shim.new_id()
    shim.host.shell("mkdir -p /run/fifos")
    shim(*shim.words("--detach", "--fifo-dir", "/run/fifos", "--", "yes", "x" * 100)).check()
    shim("tasks", "exec", "--exec-id", "e", container, "true").check()
    shim("tasks", "kill", "--signal", "KILL", container).check()
    shim.wait_for(container, "STOPPED")


def test_output_of_a_container_goes_to_a_file(shim: ContainerdWith) -> None:
    shim.new_id()
    words = shim.words("--detach", "--log-uri", "file:///run/of-the-container", "--",
                       "sh", "-c", "echo out; echo err >&2")  # fmt: skip
    shim(*words).check()
    shim.wait_for(shim.ids[-1], "STOPPED")
    shim.host.wait_until(
        lambda: set(shim.host.shell("cat /run/of-the-container").split()) == {"out", "err"},
        "the log", shim.daemon.log,
    )  # fmt: skip


def test_memory_limit_is_an_event(shim: ContainerdWith) -> None:
    log = shim.daemon.directory / "events-oom"
    shim.host.start("ctr", "--address", "/run/containerd.sock", "events", log=log)
    shim.host.wait_until(lambda: shim.run("--", "true").status == 0 and b"/tasks/" in
                         log.read_bytes(), "an event", shim.daemon.log)  # fmt: skip
    done = shim.run("--memory-limit", "8000000", "--", "sh", "-c", "tail /dev/zero")
    assert done.status in (1, 137), done
    shim.host.wait_until(
        lambda: "/tasks/oom" in [topic for topic, _ in events(log, shim.ids[-1])], "oom", log
    )


def test_a_start_that_fails_leaves_no_daemon(runtime_binary: Path, tmp_path: Path) -> None:
    """The daemon is forked ahead of everything that can fail, and waits for its socket."""
    name = f"fails-{os.getpid()}"
    (tmp_path / "config.json").write_text("no config")
    done = subprocess.run(
        [runtime_binary.with_name("containerd-shim-ociruntime-v1"), "-namespace", "n", "-id", name,
         "-address", "/nowhere", "start"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("ociruntime: config.json:1:1: ")
    assert not done.stdout
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(["pgrep", "-f", name], check=False, capture_output=True).stdout:
        assert time.monotonic() < deadline, "the daemon waits for ever"
        time.sleep(0.05)


def test_many_at_once(shim: ContainerdWith) -> None:
    """No exit is lost, no container is mistaken for another."""
    wrong: list[str] = []

    def run(number: int) -> None:
        for turn in range(5):
            name = f"many-{number}-{turn}"
            words = ["run", "--rm", "--runtime", "io.containerd.ociruntime.v1", "--cgroup",
                     f"{shim.host.cgroup_parent}/{name}", IMAGE, name,
                     "sh", "-c", f"echo {name}; exit {number}"]  # fmt: skip
            done = shim(*words)
            if (done.status, done.stdout) != (number, f"{name}\n"):
                wrong.append(str(done))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def test_what_it_says_of_itself(shim: ContainerdWith) -> None:
    done = shim.host.run("containerd-shim-ociruntime-v1", "-v").check()
    assert "ociruntime" in done.stdout
    info = shim.host.run("containerd-shim-ociruntime-v1", "-info").check()
    assert "io.containerd.ociruntime.v1" in info.stdout
    # What containerd 2 makes of that.
    asked = shim("plugins", "inspect-runtime", "--runtime", "io.containerd.ociruntime.v1")
    if "No help topic" not in asked.stderr:
        seen = json.loads(asked.check().stdout)
        assert seen["Name"] == "io.containerd.ociruntime.v1"
        assert seen["Features"]["linux"]["seccomp"]["enabled"] is True


def test_docker_run(docker_shim: DockerWith) -> None:
    done = docker_shim.run("--rm", "-i", "--", "sh", "-c", "cat; echo err >&2; exit 7", stdin="in")
    assert (done.stdout, done.stderr, done.status) == ("in", "err\n", 7)
    assert docker_shim.run("--rm", "--", "no-such-program").status == 127
    words = docker_shim.words("run", "--rm", "-it", "--", "sh")
    keys = RESIZED
    assert docker_shim.host.terminal(*words, keys=keys, leave=5).status == 5


def test_docker_on_a_running_container(docker_shim: DockerWith) -> None:
    limits = ("--memory", "50m", "--pids-limit", "20", "--init", "--read-only", "--tmpfs", "/tmp")
    container = docker_shim.up(*limits, "--", "sh", "-c", "while :; do echo tick; sleep 0.1; done")
    done = docker_shim("exec", "-i", "--user", "1000", container, "sh", "-c", "id -u; cat; exit 9",
                       stdin="typed")  # fmt: skip
    assert (done.stdout, done.status) == ("1000\ntyped", 9)
    words = ("exec", "-it", container, "sh")
    keys = RESIZED
    assert docker_shim.host.terminal(CLIENT, *words, keys=keys, leave=4).status == 4
    assert "tick" in docker_shim("logs", container).stdout
    docker_shim("pause", container).check()
    assert docker_shim.inspect(container)["State"]["Status"] == "paused"
    docker_shim("unpause", container).check()
    docker_shim("update", "--memory", "60m", "--memory-swap", "60m", container).check()
    stats = docker_shim("stats", "--no-stream", "--format", "{{json .}}", container).check()
    assert json.loads(stats.stdout)["MemUsage"].endswith("/ 60MiB")
    assert "tick" in docker_shim("top", container).stdout
    docker_shim("restart", "--time", "1", container).check()
    assert docker_shim("exec", container, "true").status == 0
    docker_shim("stop", "--time", "1", container).check()
    assert docker_shim.inspect(container)["State"]["ExitCode"] in (137, 143)


def test_docker_counts_an_oom(docker_shim: DockerWith) -> None:
    container = docker_shim.up("--memory", "8m", "--", "sh", "-c", "tail /dev/zero")
    docker_shim.wait_for(container, lambda state: state["State"]["Status"] == "exited", "its end")
    assert docker_shim.inspect(container)["State"]["OOMKilled"] is True

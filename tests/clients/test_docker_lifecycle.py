"""docker on running containers: exec, logs, signals, restarts, health, pause, statistics."""

from __future__ import annotations

import json

from tests.support.engines.docker import CLIENT, Docker, DockerWith
from tests.support.engines.host import RESIZED


def test_exec(docker: DockerWith) -> None:
    container = docker.up("--env", "FROM=run", "--", "sleep", "1000")
    script = "id -u; id -g; pwd; echo $FROM $ADDED; echo err >&2; cat; exit 9"
    done = docker("exec", "-i", "--user", "1000:5", "--workdir", "/tmp", "--env", "ADDED=exec",
                  container, "sh", "-c", script, stdin="typed")  # fmt: skip
    assert (done.stdout, done.stderr) == ("1000\n5\n/tmp\nrun exec\ntyped", "err\n")
    assert done.status == 9
    cgroups = docker.shell(container, "cat /proc/self/cgroup; echo; cat /proc/1/cgroup")
    ours, first = cgroups.split("\n\n")
    assert ours == first
    capabilities = "grep -E '^(CapEff|Seccomp):' /proc/self/status"
    assert docker.shell(container, capabilities).split() == [
        "CapEff:", "00000000a80425fb", "Seccomp:", "2",
    ]  # fmt: skip


def test_exec_of_what_cannot_be_run(docker: DockerWith) -> None:
    container = docker.up("--", "sleep", "1000")
    absent = docker("exec", container, "no-such-program")
    assert absent.status == 127 or "executable file not found" in absent.stdout + absent.stderr
    assert docker("exec", container, "/etc/unreadable").status == 126
    assert docker("exec", "--workdir", "/nowhere", container, "true").status in (126, 127)
    docker("kill", container).check()
    assert "is not running" in docker("exec", container, "true").stderr


def test_exec_on_a_terminal(docker: DockerWith) -> None:
    container = docker.up("--", "sleep", "1000")
    keys = f"tty; {RESIZED}"
    done = docker.host.terminal(CLIENT, "exec", "-it", container, "sh", keys=keys, leave=5)
    assert done.status == 5, done
    assert "/dev/pts/" in done.stdout
    assert "\n40 100\n42\n" in done.stdout


def test_exec_detached_and_privileged(docker: DockerWith) -> None:
    container = docker.up("--", "sleep", "1000")
    docker("exec", "--detach", container, "sh", "-c", "echo done >/tmp/proof; sleep 999").check()
    log = docker.docker.directory / "dockerd.log"
    seen = lambda: "sleep 999" in docker("top", container).stdout  # noqa: E731
    docker.host.wait_until(seen, "the process of exec", log)
    assert docker.shell(container, "cat /tmp/proof") == "done"
    assert docker.shell(container, "ps -o args").count("sleep") == 2
    _, granted = docker.all_capabilities()
    privileged = docker("exec", "--privileged", container, "grep", "^CapEff", "/proc/self/status")
    if privileged.status == 0:
        assert int(privileged.stdout.split()[1], 16) == granted
    else:
        assert docker.runtime == "runc", privileged
    docker("kill", container).check()
    docker("wait", container).check()
    assert docker.host.run("pgrep", "-f", "sleep 999").status != 0


def test_logs_and_attach(docker: DockerWith) -> None:
    script = "echo one; echo two >&2; read line; echo got $line; exit 3"
    container = docker.run("--detach", "--interactive", "--", "sh", "-c", script).check().output
    attached = docker("attach", container, stdin="typed\n")
    assert attached.status == 3, attached
    # What attach shows of a container's last words is a race inside dockerd, lost with runc, too;
    # the log has them.
    logs = docker("logs", container).check()
    assert (logs.stdout, logs.stderr) == ("one\ngot typed\n", "two\n")
    assert docker.inspect(container)["State"]["ExitCode"] == 3


def test_create_start_stop_start(docker: DockerWith) -> None:
    """The same container once more; the first process gets TERM and may end in its own way."""
    script = "trap 'echo bye; exit 4' TERM; echo hello; while true; do sleep 0.1; done"
    words = docker.words("create", "--", "sh", "-c", script)
    container = docker.host.run(*words).check().output
    assert docker.inspect(container)["State"]["Status"] == "created"
    for round_number in (1, 2):
        docker("start", container).check()
        _wait_for_log(docker, container, "hello\n" * round_number)
        docker("stop", "--time", "90", container).check()
        assert docker.inspect(container)["State"]["ExitCode"] == 4
    docker("restart", "--time", "90", container).check()
    _wait_for_log(docker, container, "hello\n" * 3)
    assert docker("logs", container).stdout.count("bye") == 2
    # One that ignores TERM is killed when the time is over.
    stubborn = docker.up("--", "sh", "-c", "trap '' TERM; while true; do sleep 0.1; done")
    docker("stop", "--time", "0", stubborn).check()
    assert docker.inspect(stubborn)["State"]["ExitCode"] == 137
    created = docker.host.run(*docker.words("create", "--", "true")).check().output
    docker("rm", created).check()


def test_signals(docker: DockerWith) -> None:
    script = (
        "trap 'echo got usr1' USR1; trap 'echo got hup' HUP; echo up; while :; do sleep .1; done"
    )
    container = docker.up("--", "sh", "-c", script)
    _wait_for_log(docker, container, "up\n")
    docker("kill", "--signal", "USR1", container).check()
    _wait_for_log(docker, container, "up\ngot usr1\n")
    docker("kill", "--signal", "1", container).check()
    _wait_for_log(docker, container, "up\ngot usr1\ngot hup\n")
    docker("kill", container).check()
    assert docker("wait", container).output == "137"
    assert "is not running" in docker("kill", container).stderr


def test_restart_policy(docker: DockerWith) -> None:
    container = docker.up("--restart", "on-failure:2", "--", "sh", "-c", "echo try; exit 1")
    docker.wait_for(
        container,
        lambda seen: seen["RestartCount"] == 2 and seen["State"]["Status"] == "exited",
        "the last restart",
    )
    assert docker("logs", container).stdout == "try\n" * 3


def test_health_check(docker: DockerWith) -> None:
    options = ["--health-cmd", "test -e /tmp/ready", "--health-interval", "200ms",
               "--health-retries", "1"]  # fmt: skip
    container = docker.up(*options, "--", "sleep", "1000")
    docker.wait_for(container, _health("unhealthy"), "the failing check")
    docker.shell(container, "touch /tmp/ready")
    docker.wait_for(container, _health("healthy"), "the passing check")


def test_init(docker: DockerWith) -> None:
    """docker-init is PID 1, and reaps what others leave."""
    container = docker.up("--init", "--", "sh", "-c", "(sleep 0.1 &); exec sleep 1000")
    # Zombies have their names, too.
    reaped = "ps -o args | grep -qx 'sleep 1000' && [ $(ps -o comm | grep -cx sleep) = 1 ]"
    processes = docker.shell(container, f"until {reaped}; do :; done; ps")
    assert "/sbin/docker-init -- sh" in processes.splitlines()[1]
    docker("stop", "--time", "90", container).check()
    assert docker.inspect(container)["State"]["ExitCode"] == 143


def test_top_and_statistics(docker: DockerWith) -> None:
    container = docker.up("-m", "64m", "--", "sh", "-c", "sleep 1000 & sleep 1001; true")
    docker.shell(container, "until [ $(pidof sleep | wc -w) = 2 ]; do :; done")
    top = docker("top", container, "-o", "pid,args").check().stdout.splitlines()
    assert sorted(line.split(None, 1)[1] for line in top[1:]) == [
        "sh -c sleep 1000 & sleep 1001; true", "sleep 1000", "sleep 1001",
    ]  # fmt: skip
    form = "{{json .}}"
    text = docker("stats", "--no-stream", "--format", form, container).check().stdout
    values = json.loads(text)
    assert values["PIDs"] == "3"
    assert values["MemUsage"].endswith("/ 64MiB")
    assert not values["MemUsage"].startswith("0B")


def test_copy(docker: DockerWith) -> None:
    container = docker.up("--", "sleep", "1000")
    docker.host.shell("echo from the host >/var/tmp/copied")
    docker("cp", "/var/tmp/copied", f"{container}:/tmp/there").check()
    assert docker.shell(container, "cat /tmp/there") == "from the host"
    docker("cp", f"{container}:/etc/hostname", "/var/tmp/back").check()
    assert docker.host.shell("cat /var/tmp/back").strip() == container[:12]


def test_daemon_knows_the_runtime(dockerd: Docker) -> None:
    """dockerd asks the runtime for its version at start and warns when it has none."""
    info = json.loads(dockerd("info", "--format", "{{json .}}").check().stdout)
    assert "ociruntime" in info["Runtimes"]
    log = (dockerd.directory / "dockerd.log").read_text()
    assert "ociruntime" not in log.split("Daemon has completed initialization")[0]


def _health(word: str):
    return lambda seen: seen["State"]["Health"]["Status"] == word


def _wait_for_log(docker: DockerWith, container: str, text: str) -> None:
    log = docker.docker.directory / "dockerd.log"
    seen = lambda: docker("logs", container).stdout.replace("bye\n", "") == text  # noqa: E731
    docker.host.wait_until(seen, f"{text!r} in the log", log)

"""podman on containers and pods: states, signals, health, statistics, networks, kube files."""

from __future__ import annotations

import json

from tests.clients.test_docker_network import FETCH, SERVE
from tests.support.engines.image import NAME
from tests.support.engines.podman import IMAGE, PodmanWith

KUBE = f"""apiVersion: v1
kind: Pod
metadata: {{name: POD}}
spec:
  hostNetwork: true
  restartPolicy: Never
  initContainers:
  - name: first
    image: {IMAGE}
    imagePullPolicy: Never
    command: [/bin/sh, -c, echo made >/shared/file]
    volumeMounts: [{{name: shared, mountPath: /shared}}]
  containers:
  - name: main
    image: {IMAGE}
    imagePullPolicy: Never
    command: [/bin/sleep, "1000"]
    env: [{{name: GIVEN, value: here}}]
    resources: {{limits: {{memory: 64Mi, cpu: 500m}}}}
    securityContext:
      runAsUser: 1000
      capabilities: {{drop: [ALL]}}
      readOnlyRootFilesystem: true
    volumeMounts: [{{name: shared, mountPath: /shared}}]
  volumes: [{{name: shared, emptyDir: {{}}}}]
"""


def test_create_start_stop_start(podman: PodmanWith) -> None:
    """`init` is the runtime's create alone; the same container starts again after its end."""
    script = "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.1; done"
    container = podman.host.run(*podman.words("create", "--", "sh", "-c", script)).check().output
    assert _status(podman, container) == "created"
    podman("init", container).check()
    assert _status(podman, container) == "initialized"
    for round_number in (1, 2):
        podman("start", container).check()
        _wait_for_log(podman, container, "up\nbye\n" * (round_number - 1) + "up\n")
        podman("stop", "--time", "90", container).check()
        assert podman.inspect(container)["State"]["ExitCode"] == 4
    never = podman.host.run(*podman.words("create", "--", "true")).check().output
    podman("init", never).check()
    podman("rm", never).check()


def test_signals(podman: PodmanWith) -> None:
    script = "trap 'echo got usr1' USR1; echo up; while :; do sleep .1; done"
    container = podman.up("--", "sh", "-c", script)
    _wait_for_log(podman, container, "up\n")
    podman("kill", "--signal", "USR1", container).check()
    _wait_for_log(podman, container, "up\ngot usr1\n")
    podman("kill", container).check()
    assert podman("wait", container).output == "137"
    again = podman("kill", container)
    assert again.status == 125
    assert "can only kill running containers" in again.stderr


def test_pause_and_statistics(podman: PodmanWith) -> None:
    container = podman.up("-m", "64m", "--", "sh", "-c", "sleep 1000 & wait")
    form = "{{.PIDs}} {{.MemUsage}}"
    pids, text = podman("stats", "--no-stream", "--format", form, container).output.split(" ", 1)
    assert pids == "2"
    used, limit = text.split(" / ")
    assert limit == "67.11MB"
    assert not used.startswith("0B")
    podman("pause", container).check()
    assert _status(podman, container) == "paused"
    assert "running containers" in podman("exec", container, "true").stderr
    podman("unpause", container).check()
    assert podman.shell(container, "echo alive") == "alive"


def test_health_check(podman: PodmanWith) -> None:
    options = ["--health-cmd", "test -e /ready", "--health-retries", "1",
               "--health-interval", "disable"]  # fmt: skip
    container = podman.up(*options, "--", "sleep", "1000")
    assert podman("healthcheck", "run", container).status == 1
    assert podman.inspect(container)["State"]["Health"]["Status"] == "unhealthy"
    podman.shell(container, "touch /ready")
    podman("healthcheck", "run", container).check()
    assert podman.inspect(container)["State"]["Health"]["Status"] == "healthy"


def test_restart_policy(podman: PodmanWith) -> None:
    container = podman.up("--restart", "on-failure:2", "--", "sh", "-c", "echo try; exit 1")
    podman.wait_for(
        container,
        lambda seen: seen["RestartCount"] == 2 and seen["State"]["Status"] == "exited",
        "the last restart",
    )
    assert podman("logs", container).stdout == "try\n" * 3


def test_out_of_memory(podman: PodmanWith) -> None:
    container = podman.up("-m", "16m", "--", "tail", "/dev/zero")
    assert podman("wait", container).output == "137"


def test_namespaces_of_another_container(podman: PodmanWith) -> None:
    first = podman.up("--ipc", "shareable", "--", "sleep", "1000")
    of = f"container:{first}"
    options = ["--network", of, "--pid", of, "--ipc", of, "--uts", of]
    second = podman.up(*options, "--", "sh", "-c", "sleep 1001 & sleep 1002")
    script = "for name in net pid ipc uts; do readlink /proc/self/ns/$name; done"
    assert podman.shell(second, script) == podman.shell(first, script)
    assert "sleep 1002" in podman.shell(first, "ps -o args")
    # It is killed as a whole, though no first process of a namespace dies with it.
    podman("rm", "--force", "--time", "0", second).check()
    assert "sleep 100" not in podman.shell(first, "ps -o args").replace("sleep 1000", "")


def test_pod(podman: PodmanWith) -> None:
    name = f"pod-{podman.runtime}"
    podman("pod", "create", "--name", name, "--network", "none", "--share", "+pid",
           "--cgroup-parent", podman.host.cgroup_parent, "--infra-image", IMAGE,
           "--infra-command", "sleep 5000").check()  # fmt: skip
    try:
        container = podman.up("--pod", name, "--", "sleep", "1000")
        processes = podman.shell(container, "hostname; ps -o args").splitlines()
        assert processes[0] == name
        assert {"sleep 5000", "sleep 1000"} <= set(processes)
        stats = podman("pod", "stats", "--no-stream", "--format", "{{.PIDS}}", name).check()
        assert stats.stdout.split() == ["PIDS", "1", "1"]
        for verb, status in (("pause", "Paused"), ("unpause", "Running"), ("stop", "Exited"),
                             ("start", "Running")):  # fmt: skip
            time = ["--time", "0"] if verb == "stop" else []
            podman("pod", verb, *time, name).check()
            listed = podman("pod", "ps", "--filter", f"name={name}", "--format", "{{.Status}}")
            assert listed.output == status, verb
    finally:
        podman("pod", "rm", "--force", "--time", "0", name).check()


def test_kube_file(podman: PodmanWith) -> None:
    name = f"kube-{podman.runtime}"
    file = podman.podman.directory / f"{name}.yaml"
    file.write_text(KUBE.replace("POD", name))
    podman("play", "kube", str(file)).check()
    try:
        script = """cat /shared/file; echo $GIVEN; id -u; touch /x 2>/dev/null || echo refused
            cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us
            grep ^CapEff /proc/self/status | cut -f2"""
        text = podman("exec", f"{name}-main", "/bin/sh", "-c", script).check().stdout
        assert text.split() == ["made", "here", "1000", "refused", "67108864", "50000", "0" * 16]
    finally:
        pod = podman("pod", "inspect", "--format", "{{.ID}}", name).output
        podman("play", "kube", "--down", str(file)).check()
        podman.remove_cgroups(pod)
    assert podman.host.cgroups(f"{pod}*") == []
    assert name not in podman("pod", "ps", "--format", "{{.Name}}").stdout


def test_published_port(podman: PodmanWith) -> None:
    network = f"net-{podman.runtime}"
    podman("network", "create", network).check()
    try:
        container = podman.up("--network", network, "-p", "6378:6379", "--",
                              "sh", "-c", SERVE, "sh", "first")  # fmt: skip
        assert "inet 10." in podman.shell(container, "ip -o -4 addr show eth0")
        assert podman.host.shell(f"{FETCH} fetch 127.0.0.1 6378").strip() == "first"
    finally:
        podman.remove_all()
        podman("network", "rm", network).check()


def test_nothing_is_left(podman: PodmanWith) -> None:
    container = podman.up("--rm", "--", "sleep", "1000")
    podman("kill", container).check()
    podman.host.wait_until(
        lambda: podman("container", "exists", container).status == 1, "the removal",
        podman.podman.directory / "host.log",
    )  # fmt: skip
    state = "/run/runc" if podman.runtime == "runc" else "/run/ociruntime"
    assert container not in podman.host.shell(f"ls -A {state}")
    assert podman.host.cgroups(f"libpod-{container}*") == []


def test_runtime_in_info(podman: PodmanWith) -> None:
    runtime = json.loads(podman("info", "--format", "{{json .Host.OCIRuntime}}").check().stdout)
    assert runtime["name"] == podman.runtime
    assert f"{podman.runtime} version" in runtime["version"]
    assert NAME in podman("images").stdout


def _status(podman: PodmanWith, container: str) -> str:
    status: str = podman.inspect(container)["State"]["Status"]
    return status


def _wait_for_log(podman: PodmanWith, container: str, text: str) -> None:
    log = podman.podman.directory / "host.log"
    seen = lambda: podman("logs", container).stdout == text  # noqa: E731
    podman.host.wait_until(seen, f"{text!r} in the log", log)

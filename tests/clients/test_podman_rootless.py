"""podman of a user, with crun, its default, and with ociruntime."""

from __future__ import annotations

import os

import pytest

from tests.clients.test_docker_network import FETCH, SERVE
from tests.support.engines.podman import HOME, IMAGE, UID, PodmanWith

MAP = f"0 {UID} 1 1 300000 65536"
KUBE = f"""apiVersion: v1
kind: Pod
metadata: {{name: POD}}
spec:
  hostNetwork: true
  containers:
  - {{name: main, image: {IMAGE}, imagePullPolicy: Never, command: [/bin/sleep, "1000"]}}
"""


def test_run(rootless: PodmanWith) -> None:
    script = "tr -s '\\n ' ' ' </proc/self/uid_map; cat; id -u; hostname >&2; exit 7"
    done = rootless.run("--rm", "-i", "--hostname", "named", "--", "sh", "-c", script, stdin="in ")
    assert done.stdout.split() == [*MAP.split(), "in", "0"]
    assert done.stderr.splitlines()[-1:] == ["named"]
    assert done.status == 7


def test_what_cannot_be_run(rootless: PodmanWith) -> None:
    absent = rootless.run("--rm", "--", "no-such-program")
    assert absent.status == 127, absent
    assert "not found in $PATH" in absent.stderr
    assert rootless.run("--rm", "--", "/etc/unreadable").status == 126


def test_terminal(rootless: PodmanWith) -> None:
    words = rootless.words("run", "--rm", "-it", "--", "sh")
    done = rootless.host.terminal(*words, keys="tty", leave=5)
    assert done.status == 5, done
    assert "/dev/pts/0" in done.stdout
    assert "\n42\n" in done.stdout


def test_options(rootless: PodmanWith) -> None:
    options = ["--user", "1000:5", "--read-only", "--tmpfs", "/scratch", "--cap-drop", "all",
               "--sysctl", "net.ipv4.ip_unprivileged_port_start=7"]  # fmt: skip
    script = """id -u; id -g; touch /x 2>/dev/null || echo refused; touch /scratch/x && echo made
        grep ^CapEff /proc/self/status | cut -f2
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start; stat -c %u:%g /dev/mqueue"""
    text = rootless.run("--rm", *options, "--", "sh", "-c", script).check().stdout
    assert text.split() == ["1000", "5", "refused", "made", "0" * 16, "7", "0:0"]
    text = rootless.run("--rm", "--privileged", "--", "grep", "Seccomp:", "/proc/self/status")
    assert text.check().stdout.split() == ["Seccomp:", "0"]


def test_network_of_the_host_and_no_cgroup(rootless: PodmanWith) -> None:
    options = ["--network", "host", "--cgroups", "disabled"]
    seen = rootless.run("--rm", *options, "--", "readlink", "/proc/self/ns/net").check().output
    assert seen == rootless.host.shell("readlink /proc/self/ns/net").strip()


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="the kernel has no tun devices")
def test_published_port(rootless: PodmanWith) -> None:
    port = {"crun": "6381", "ociruntime": "6382"}[rootless.runtime]
    options = ["--network", "slirp4netns", "-p", f"{port}:6379"]
    container = rootless.up(*options, "--", "sh", "-c", SERVE, "sh", rootless.runtime)
    assert "inet 10.0.2." in rootless.shell(container, "ip -o -4 addr show tap0")
    assert rootless.host.shell(f"{FETCH} fetch 127.0.0.1 {port}").strip() == rootless.runtime


def test_volume_and_own_id(rootless: PodmanWith) -> None:
    """Root in there is the user outside; with keep-id he is himself."""
    directory = f"{HOME}/volume-{rootless.runtime}"
    rootless.host.shell(f"mkdir {directory}; chown {UID}:{UID} {directory}")
    volume = ["--volume", f"{directory}:/v"]
    rootless.run("--rm", *volume, "--", "touch", "/v/roots").check()
    rootless.run("--rm", *volume, "--user", "7", "--", "chown", "7", "/v/roots")
    keep = [*volume, "--userns", "keep-id"]
    assert rootless.run("--rm", *keep, "--", "sh", "-c", "touch /v/own; id -u").output == f"{UID}"
    owners = rootless.host.shell(f"stat -c %u {directory}/roots {directory}/own")
    assert owners.split() == [str(UID), str(UID)]


def test_volume_that_only_the_user_reaches(rootless: PodmanWith) -> None:
    """The container's root is another of his ids, which may not search his home."""
    directory = f"{HOME}/private-{rootless.runtime}"
    rootless.host.shell(
        f"mkdir -m 700 {directory}; echo seen >{directory}/file; chmod 644 {directory}/file;"
        f"chown -R {UID}:{UID} {directory}"
    )
    options = ["--uidmap", "0:1:1000", "--gidmap", "0:1:1000", "-v", f"{directory}/file:/file:ro"]
    done = rootless.run("--rm", *options, "--", "sh", "-c", "cat /file; cat /proc/self/uid_map")
    assert done.check().stdout.split()[:2] == ["seen", "0"]


def test_exec(rootless: PodmanWith) -> None:
    container = rootless.up("--env", "FROM=run", "--", "sleep", "1000")
    script = "id -u; pwd; echo $FROM; exit 9"
    done = rootless("exec", "--user", "1000", "--workdir", "/tmp", container, "sh", "-c", script)
    assert (done.stdout.split(), done.status) == (["1000", "/tmp", "run"], 9)
    assert rootless("exec", "-t", container, "tty").check().stdout.startswith("/dev/pts/")
    assert rootless("exec", container, "no-such-program").status == 127
    assert "sleep 1000" in rootless("top", container, "args").check().stdout


def test_lifecycle(rootless: PodmanWith) -> None:
    """It stops, starts again, and leaves nothing in the user's runtime directory."""
    script = "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.1; done"
    container = rootless.up("--", "sh", "-c", script)
    log = rootless.podman.directory / "host.log"
    for count in (1, 2):
        expected = "up\nbye\n" * (count - 1) + "up\n"
        seen = lambda text=expected: rootless("logs", container).stdout == text  # noqa: E731
        rootless.host.wait_until(seen, expected, log)
        rootless("stop", "--time", "90", container).check()
        assert rootless.inspect(container)["State"]["ExitCode"] == 4
        if count == 1:
            rootless("start", container).check()
    rootless("rm", container).check()
    assert rootless.host.shell(f"ls /run/user/{UID}/{rootless.runtime}") == ""


def test_health_check(rootless: PodmanWith) -> None:
    options = ["--health-cmd", "test -e /ready", "--health-retries", "1",
               "--health-interval", "disable"]  # fmt: skip
    container = rootless.up(*options, "--", "sleep", "1000")
    assert rootless("healthcheck", "run", container).status == 1
    rootless.shell(container, "touch /ready")
    rootless("healthcheck", "run", container).check()
    assert rootless.inspect(container)["State"]["Health"]["Status"] == "healthy"


def test_pod(rootless: PodmanWith) -> None:
    name = f"pod-{rootless.runtime}"
    rootless("pod", "create", "--name", name, "--network", "none", "--share", "+pid",
             "--infra-image", IMAGE, "--infra-command", "sleep 5000").check()  # fmt: skip
    try:
        container = rootless.up("--pod", name, "--", "sleep", "1000")
        processes = rootless.shell(container, "hostname; ps -o args").splitlines()
        assert processes[0] == name
        assert {"sleep 5000", "sleep 1000"} <= set(processes)
    finally:
        rootless("pod", "rm", "--force", "--time", "0", name).check()


def test_kube_file(rootless: PodmanWith) -> None:
    name = f"kube-{rootless.runtime}"
    file = f"{HOME}/{name}.yaml"
    rootless.host.run("tee", file, stdin=KUBE.replace("POD", name)).check()
    rootless("play", "kube", file).check()
    try:
        assert rootless("exec", f"{name}-main", "/bin/id", "-u").check().output == "0"
    finally:
        rootless("play", "kube", "--down", file).check()
    assert name not in rootless("pod", "ps", "--format", "{{.Name}}").stdout

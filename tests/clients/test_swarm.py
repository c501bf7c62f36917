"""A service of a swarm of three hosts: made, updated, scaled, and a host that is lost.

SWARM_REPLICAS says how many replicas it has; `make engines-test` takes thirty.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import engine_directory
from tests.support.engines.compared import with_own
from tests.support.engines.docker import Docker
from tests.support.engines.swarm import Swarm

REPLICAS = int(os.environ.get("SWARM_REPLICAS", "4"))
PARALLEL = 2
# Its name is served; it ends when it is told to, with the status 0.
SERVE = """trap 'kill $!; exit 0' TERM; echo "$(hostname) $VERSION" >/name
httpd -f -p 80 -h / & wait"""
OPTIONS = (
    "--network", "mesh", "--endpoint-mode", "dnsrr", "--env", "VERSION=1", "--restart-delay", "0s",
    "--update-parallelism", str(PARALLEL), "--update-monitor", "100ms",
    "--update-failure-action", "rollback", "--rollback-monitor", "100ms",
)  # fmt: skip
# The service has a name; each replica is asked by its own address, whatever host it is on: what the
# name service says to busybox in one message need not hold all of them.
ASK = """nslookup -type=a tasks.web 127.0.0.11 | grep -q '^Name:' || exit 1
for ip in "$@"; do
    printf 'GET /name HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $ip 80 | tail -n 1; done"""


def needs_vxlan() -> None:
    """Skip the test where the kernel has none: without it there is no overlay network."""
    script = "ip link add probe type vxlan id 1 dstport 4789"
    command = ["unshare", "--net", "sh", "-c", script]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no vxlan, of which a swarm makes its overlay networks")


def containers(node: Docker) -> list[dict[str, Any]]:
    """What `docker inspect` says of each running container of a node."""
    listed = node("ps", "--quiet", "--no-trunc").check().output.split()
    found: list[dict[str, Any]] = []
    if listed:
        found = json.loads(node("inspect", *listed).check().stdout)
    return found


def wait_for_answers(swarm: Swarm, version: str) -> None:
    """Wait until one of the replicas, which asks all of them, has an answer of this version from
    each: the network's names and neighbours come and go a little after the tasks.
    """

    def all_answer() -> bool:
        found = [(node, every) for node in swarm.nodes for every in containers(node)]
        ips = [every["NetworkSettings"]["Networks"]["mesh"]["IPAddress"] for _, every in found]
        node, asked = found[0]
        lines = node("exec", asked["Id"], "sh", "-c", ASK, "sh", *ips).stdout.splitlines()
        said = [line.split() for line in lines]
        answered = {words[0] for words in said if words[1:] == [version]}
        return len(answered) == len(said) == REPLICAS

    swarm.wait_until(all_answer, f"{REPLICAS} answers")


def update(swarm: Swarm, *words: str, least: int = 0) -> str:
    """Carry out `docker service update`; how it went. So many replicas run all the time."""
    swarm("service", "update", "--detach", "--no-resolve-image", *words, "web")
    state = ""

    def ended() -> bool:
        nonlocal state
        assert sum(swarm.running("web").values()) >= least
        state = swarm("service", "inspect", "--format", "{{.UpdateStatus.State}}", "web")
        return state in ("completed", "rollback_completed", "paused")

    swarm.wait_until(ended, "the end of an update")
    return state


@pytest.mark.parametrize("runtime", with_own("runc", "ociruntime"))
def test_service(runtime: str, runtime_binary: Path) -> None:
    needs_vxlan()
    with engine_directory("dockerd", "tini", "iptables") as directory:
        swarm = Swarm(directory, runtime_binary, runtime)
        try:
            scenario(swarm, runtime)
        finally:
            swarm.close()


def scenario(swarm: Swarm, runtime: str) -> None:
    """What an operator does with a service."""
    share, rest = divmod(REPLICAS, len(swarm.nodes))
    swarm("network", "create", "--driver", "overlay", "mesh")
    swarm.create("web", REPLICAS, *OPTIONS, "--", "sh", "-c", SERVE)

    def there(count: int) -> bool:
        return sum(swarm.running("web").values()) == count

    swarm.wait_until(lambda: there(REPLICAS), "all replicas")
    assert sorted(swarm.running("web")) == ["node-1", "node-2", "node-3"]
    assert set(swarm.running("web").values()) <= {share, share + bool(rest)}
    for node in swarm.nodes:
        for found in containers(node):
            assert found["HostConfig"]["Runtime"] == runtime

    wait_for_answers(swarm, "1")

    # The replicas are replaced; those of before ended as they should.
    assert update(swarm, "--env-add", "VERSION=2", least=REPLICAS - PARALLEL) == "completed"
    wait_for_answers(swarm, "2")
    for node in swarm.nodes:
        ended = node("ps", "--all", "--filter", "status=exited", "--format", "{{.Status}}").check()
        assert {line.split(")")[0] for line in ended.stdout.splitlines()} == {"Exited (0"}

    # What cannot start is taken back, and the reason is told.
    assert update(swarm, "--args", "no-such-program") == "rollback_completed"
    text = swarm("service", "ps", "--no-trunc", "--format", "{{.Error}}", "web")
    assert "executable file not found" in text
    swarm.wait_until(lambda: there(REPLICAS), "all replicas")

    swarm("service", "scale", "--detach", f"web={REPLICAS + 3}")
    swarm.wait_until(lambda: there(REPLICAS + 3), "more replicas")
    swarm("service", "scale", "--detach", f"web={REPLICAS}")
    swarm.wait_until(lambda: there(REPLICAS), "fewer replicas")

    swarm.lose(3)
    swarm.wait_until(
        lambda: there(REPLICAS) and "node-3" not in swarm.running("web"), "all replicas elsewhere"
    )
    shown = "{{.Hostname}} {{.Status}}"
    assert "node-3 Down" in swarm("node", "ls", "--format", shown).splitlines()
    wait_for_answers(swarm, "2")

    swarm("service", "rm", "web")
    swarm.wait_until(lambda: not any(containers(node) for node in swarm.nodes), "the end of all")

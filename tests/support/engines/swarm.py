"""A swarm: hosts in network namespaces of their own, each with its dockerd, at one bridge."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.support.engines.docker import Docker
from tests.support.engines.host import Done, PrivateHost
from tests.support.engines.image import NAME

_SWITCH = "ip link add br0 type bridge; ip link set br0 up; echo ready; exec sleep infinity"
_NO_LEADER = ("does not have a leader", "raft: lost leader", "transport is closing",
              "context deadline exceeded", "Unavailable")  # fmt: skip


class Swarm:
    """``size`` managers, node-1 to node-N, whose default runtime is ``runtime``'s by that name.

    All of it (daemons, containers, namespaces, mounts, cgroups) ends with `close`, also what a host
    had that was lost.
    """

    def __init__(self, directory: Path, binary: Path, runtime: str, size: int = 3) -> None:
        self.directory = directory
        self.nodes: list[Docker] = []
        command = ["unshare", "--net", "sh", "-ec", _SWITCH]
        self._switch = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert self._switch.stdout is not None
            assert self._switch.stdout.readline() == b"ready\n"
            for number in range(1, size + 1):
                self.nodes.append(self._node(number, binary, runtime))
            self._join()
        except BaseException:
            self.close()
            raise

    def _node(self, number: int, binary: Path, runtime: str) -> Docker:
        place = self.directory / f"node-{number}"
        place.mkdir()
        host = PrivateHost(place, f"node-{number}")
        try:
            port = f"port{number}"
            script = f"""ip link add {port} type veth peer name eth0 netns {host.init}
                ip link set {port} master br0 up"""
            inside = ["nsenter", "--target", str(self._switch.pid), "--net", "--"]
            subprocess.run([*inside, "sh", "-ec", script], check=True)
            host.shell(f"ip addr add {address(number)}/24 dev eth0; ip link set eth0 up")
        except BaseException:
            host.close()
            raise
        return Docker(place, binary, host=host, default=runtime)

    def _join(self) -> None:
        first = self.nodes[0]
        # A host is lost after three of them.
        interval = ("--dispatcher-heartbeat", "1s")
        first("swarm", "init", "--advertise-addr", address(1), *interval).check()
        token = first("swarm", "join-token", "--quiet", "manager").check().output
        for number, node in enumerate(self.nodes[1:], 2):
            own = ("--advertise-addr", address(number))
            node("swarm", "join", "--token", token, *own, f"{address(1)}:2377").check()

    def __call__(self, *words: str) -> str:
        """A command of docker's client at the first manager: what it prints. It is said again while
        the managers elect their leader, as they may at any time when the machine is busy.
        """
        done: list[Done] = []

        def answered() -> bool:
            done[:] = [self.nodes[0](*words)]
            return not any(text in done[0].stderr for text in _NO_LEADER)

        self.wait_until(answered, "the managers' leader")
        return done[0].check().output

    def create(self, service: str, replicas: int, *words: str) -> None:
        """`docker service create` of the image that all hosts have: options, ``--``, command."""
        at = words.index("--")
        self("service", "create", "--detach", "--quiet", "--name", service, "--no-resolve-image",
             "--replicas", str(replicas), *words[:at], NAME, *words[at + 1 :])  # fmt: skip

    def tasks(self, service: str) -> list[tuple[str, str]]:
        """Node ("" while there is none) and state of each task that shall run."""
        text = self("service", "ps", "--no-trunc", "--filter", "desired-state=running",
                    "--format", "{{.ID}}\t{{.Node}}\t{{.CurrentState}}", service)  # fmt: skip
        rows = [line.split("\t") for line in text.splitlines()]
        return [(node, state.split()[0]) for _, node, state in rows]

    def running(self, service: str) -> dict[str, int]:
        """How many replicas run on which node."""
        found: dict[str, int] = {}
        for node, state in self.tasks(service):
            if state == "Running":
                found[node] = found.get(node, 0) + 1
        return found

    def wait_until(self, ready: Any, what: str, seconds: float = 240) -> None:
        """Wait until ``ready()``; raises EngineError with what the first daemon says last."""
        first = self.nodes[0]
        # To ask costs a client of 50 MB: a swarm's own steps are seconds.
        log = first.directory / "dockerd.log"
        first.host.wait_until(ready, what, log, seconds, every=0.5)

    def lose(self, number: int) -> None:
        """node-``number`` is without power: its daemons and containers end, nothing is told."""
        self.nodes.pop(number - 1).close()

    def close(self) -> None:
        """End all that is left."""
        try:
            while self.nodes:
                self.nodes.pop().close()
        finally:
            self._switch.kill()
            self._switch.communicate()


def address(number: int) -> str:
    """The address of node-``number``."""
    return f"10.77.0.{number}"

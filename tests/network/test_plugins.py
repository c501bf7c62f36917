"""Our plugins as any client of CNI calls them: environment, standard input, JSON (section 2)."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.network.host import Container, Host

BOTH = ("ociruntime-bridge", "ociruntime-ipam")
SUPPORTED = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


class Caller:
    """Calls a plugin on `host`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.leases = str(host.state / "leases")
        self.directory = host.program.parent

    def config(self, subnet: str = "10.1.0.0/24", version: str = "1.1.0") -> dict[str, Any]:
        """A configuration for both."""
        ipam = {"type": "ociruntime-ipam", "ranges": [[{"subnet": subnet}]]}
        return {
            "cniVersion": version,
            "name": "direct",
            "type": "ociruntime-bridge",
            "bridge": "br0",
            "isGateway": True,
            "dataDir": str(self.host.state / "bridge"),
            "ipam": ipam | {"dataDir": self.leases},
        }

    def environment(self, command: str, container: Container | None) -> dict[str, str]:
        """All that a plugin needs for `command`."""
        found = {"CNI_COMMAND": command, "CNI_PATH": str(self.directory)}
        if container is not None:
            found |= {"CNI_CONTAINERID": container.id, "CNI_IFNAME": "eth0"}
            if command in ("ADD", "CHECK"):
                found["CNI_NETNS"] = container.path
        return found

    def raw(self, plugin: str, environment: dict[str, str], text: str) -> tuple[int, Any]:
        """(exit status, JSON of standard output); nothing may be on standard error."""
        done = subprocess.run(
            ["nsenter", f"--net={self.host.path}", str(self.directory / plugin)],
            input=text, capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def call(
        self, plugin: str, command: str, container: Container | None, config: dict[str, Any]
    ) -> tuple[int, Any]:
        """The same for a whole call."""
        return self.raw(plugin, self.environment(command, container), json.dumps(config))


@pytest.fixture
def caller(host: Host) -> Caller:
    return Caller(host)


def stop(container: Container) -> None:
    """End a container that no hook knows."""
    container.end()
    container.ended = True


@pytest.mark.parametrize("plugin", BOTH)
def test_version(caller: Caller, plugin: str) -> None:
    status, document = caller.raw(plugin, {"CNI_COMMAND": "VERSION"}, '{"cniVersion": "1.0.0"}')
    assert (status, document) == (0, {"cniVersion": "1.1.0", "supportedVersions": SUPPORTED})


@pytest.mark.parametrize("version", SUPPORTED)
def test_life(host: Host, caller: Caller, version: str) -> None:
    """ADD, CHECK, DEL twice; the result in the form of the version."""
    container = host.container(attach=False)
    config = caller.config(version=version)
    status, result = caller.call("ociruntime-bridge", "ADD", container, config)
    assert status == 0
    assert result["cniVersion"] == version
    entry = {"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 2}
    assert result["ips"] == [entry | ({"version": "4"} if version < "1.0.0" else {})]
    devices = [(device["name"], "sandbox" in device) for device in result["interfaces"]]
    assert (devices[0], devices[2]) == (("br0", False), ("eth0", True))
    veth = host.ip("link", "show", "master", "br0")[0]
    assert [device["mac"] for device in result["interfaces"]][1] == veth["address"]
    assert devices[1] == (veth["ifname"], False)
    assert container.address() == "10.1.0.2"
    assert container.ip("route")[0]["dst"] == "10.1.0.0/24"  # isDefaultGateway is not set
    config |= {"prevResult": result}
    assert caller.call("ociruntime-bridge", "CHECK", container, config) == (0, None)
    container.run("ip", "addr", "flush", "dev", "eth0")
    status, error = caller.call("ociruntime-bridge", "CHECK", container, config)
    assert status == 1
    assert "eth0 has lost the address 10.1.0.2/24" in error["msg"]
    stop(container)
    for _ in range(2):
        assert caller.call("ociruntime-bridge", "DEL", container, config) == (0, None)
    assert caller.call("ociruntime-bridge", "CHECK", container, config)[0] == 1


def test_add_again(host: Host, caller: Caller) -> None:
    """An ADD whose end nobody saw is repeated: the container is attached anew, and keeps its
    address.
    """
    container = host.container(attach=False)
    for last in (2, 2):
        status, result = caller.call("ociruntime-bridge", "ADD", container, caller.config())
        assert status == 0
        assert result["ips"][0]["address"] == f"10.1.0.{last}/24"
    assert container.address() == "10.1.0.2"
    assert len(host.ip("link", "show", "master", "br0")) == 1
    caller.call("ociruntime-bridge", "DEL", container, caller.config())
    stop(container)


def test_gc(host: Host, caller: Caller) -> None:
    """Those that are not named go; another network's stay."""
    containers = [host.container(attach=False) for _ in range(3)]
    other = caller.config("10.2.0.0/24") | {"name": "other", "bridge": "br1"}
    for container in containers[:2]:
        assert caller.call("ociruntime-bridge", "ADD", container, caller.config())[0] == 0
    assert caller.call("ociruntime-bridge", "ADD", containers[2], other)[0] == 0
    valid = [{"containerID": containers[0].id, "ifname": "eth0"}]
    config = caller.config() | {"cni.dev/valid-attachments": valid}
    assert caller.call("ociruntime-bridge", "GC", None, config) == (0, None)
    assert len(host.ip("link", "show", "master", "br0")) == 1
    assert len(host.ip("link", "show", "master", "br1")) == 1
    leases = json.loads((host.state / "leases" / "direct.json").read_text())["leases"]
    assert list(leases) == ["10.1.0.2"]
    for container, config in zip(
        containers, (caller.config(), caller.config(), other), strict=True
    ):
        assert caller.call("ociruntime-bridge", "DEL", container, config) == (0, None)
        stop(container)


def test_status(host: Host, caller: Caller) -> None:
    """STATUS fails when ADD would: the only address is taken (code 100, as ADD has it)."""
    config = caller.config("10.1.0.0/30")
    assert caller.call("ociruntime-bridge", "STATUS", None, config) == (0, None)
    container = host.container(attach=False)
    assert caller.call("ociruntime-bridge", "ADD", container, config)[0] == 0
    for plugin in BOTH:
        status, error = caller.call(plugin, "STATUS", None, config)
        assert (status, error["code"]) == (1, 100)
    stop(container)
    assert caller.call("ociruntime-bridge", "STATUS", None, config) == (0, None)
    caller.call("ociruntime-bridge", "DEL", container, config)


@pytest.mark.parametrize(
    ("change", "text", "code", "words"),
    [
        ({}, "no JSON", 6, "configuration"),
        ({}, '{"cniVersion": "7.0.0", "name": "x", "ipam": {}}', 1, "7.0.0"),
        ({"CNI_COMMAND": "FROB"}, None, 4, "use one of ADD, DEL, CHECK, GC, STATUS, VERSION"),
        ({"CNI_CONTAINERID": ""}, None, 4, "ADD needs CNI_CONTAINERID"),
        ({"CNI_CONTAINERID": "a/../b"}, None, 4, "is no container id"),
        ({"CNI_IFNAME": "../eth0"}, None, 4, "is no name of a device"),
        ({"CNI_NETNS": "/nowhere"}, None, 3, "network namespace '/nowhere'"),
        ({}, '{"cniVersion": "1.0.0", "name": "../x", "ipam": {}}', 7, "is no name of a network"),
    ],
)
def test_errors(
    host: Host, caller: Caller, change: dict[str, str], text: str | None, code: int, words: str
) -> None:
    """Error codes as the specification has them; nothing is left."""
    container = host.container(attach=False)
    environment = caller.environment("ADD", container) | change
    given = json.dumps(caller.config()) if text is None else text
    status, error = caller.raw("ociruntime-bridge", environment, given)
    assert (status, error["code"]) == (1, code)
    assert words in f"{error['msg']} {error.get('details', '')}"
    assert error["cniVersion"] in SUPPORTED
    stop(container)


def test_hundred_at_once(host: Host, caller: Caller) -> None:
    """A hundred ADDs at the same time for a range of a hundred: nobody shares, nobody goes without.

    A hundred and first finds nothing, until one has been given back.
    """
    config = caller.config()
    first, last = "10.1.0.11", "10.1.0.110"
    entry = {"subnet": "10.1.0.0/24", "rangeStart": first, "rangeEnd": last}
    config["ipam"]["ranges"] = [[entry]]
    space = host.container(attach=False)

    def call(command: str, number: int) -> tuple[int, Any]:
        environment = caller.environment(command, space) | {"CNI_CONTAINERID": f"c{number}"}
        return caller.raw("ociruntime-ipam", environment, json.dumps(config))

    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda number: call("ADD", number), range(100)))
    assert {status for status, _ in found} == {0}
    addresses = [result["ips"][0]["address"].partition("/")[0] for _, result in found]
    assert sorted(addresses, key=lambda a: int(a.rpartition(".")[2])) == [
        f"10.1.0.{number}" for number in range(11, 111)
    ]
    status, error = call("ADD", 100)
    assert (status, error["code"]) == (1, 100)
    with ThreadPoolExecutor(20) as pool:
        assert {status for status, _ in pool.map(lambda n: call("DEL", n), range(20))} == {0}
    with ThreadPoolExecutor(20) as pool:
        again = list(pool.map(lambda number: call("ADD", 200 + number), range(20)))
    freed = {result["ips"][0]["address"].partition("/")[0] for _, result in again}
    assert freed == set(addresses[:20])
    leases = json.loads(Path(caller.leases, "direct.json").read_text())["leases"]
    assert len(leases) == 100
    stop(space)
    # All are stale now: nobody gave anything back, but their network namespace is gone.
    other = host.container(attach=False)
    environment = caller.environment("ADD", other)
    assert caller.raw("ociruntime-ipam", environment, json.dumps(config))[0] == 0
    leases = json.loads(Path(caller.leases, "direct.json").read_text())["leases"]
    assert [lease["container"] for lease in leases.values()] == [other.id]
    environment = caller.environment("DEL", other)
    assert caller.raw("ociruntime-ipam", environment, json.dumps(config)) == (0, None)
    stop(other)


def test_many_containers_at_once(host: Host) -> None:
    """The whole way, with published ports: every one is reached at its own."""
    containers = [host.container(attach=False) for _ in range(30)]

    def attach(number: int) -> int:
        done = containers[number].hook("--publish", f"{9000 + number}:80")
        return int(done.returncode)

    with ThreadPoolExecutor(30) as pool:
        assert set(pool.map(attach, range(30))) == {0}
    assert len({container.address() for container in containers}) == 30
    for number in (0, 14, 29):
        containers[number].serve(80, str(number))
        assert host.ask("127.0.0.1", 9000 + number)[0] == str(number)
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda container: container.stop(), containers))

"""The example bundles with networks, and `spec --net`, as a reader of the docs tries them."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from bundles.__main__ import build
from bundles.networks import Place
from ociruntime.errors import UsageError
from ociruntime.network.configure import Wish, configure
from ociruntime.spec.default import default_config
from ociruntime.state.store import Store
from tests.network.host import HOST, HOST6, OUTSIDE, OUTSIDE6, Host, Space
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime


class Shop:
    """Builds example bundles for containers on `host`, and runs them."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.host = host
        self.runtime = runtime

    def build(self, name: str, joined: str = "") -> Path:
        path = self.host.sandbox.bundles / name
        place = Place(str(self.host.program), str(self.runtime.root), str(self.host.state), joined)
        build(name, path, place)
        return path

    def start(self, name: str) -> str:
        """Run a bundle whose program stays; the container's id."""
        bundle = self.build(name)
        with (self.host.sandbox.directory / f"{name}.log").open("wb") as file:
            container = self.runtime.create(bundle, stdout=file).check().container
        self.runtime.start(container).check()
        return container


@pytest.fixture
def shop(host: Host, hosted: Runtime) -> Shop:
    return Shop(host, hosted)


def converse(space: Space, address: str, port: int, text: str) -> str:
    """Send a request and give the first part of the answer; the server may not be up yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with space.socket(address, socket.SOCK_STREAM) as client:
                client.connect((address, port))
                client.sendall(f"{text}\r\n".encode())
                return client.recv(4096).decode()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_redis_pair(host: Host, hosted: Runtime, shop: Shop) -> None:
    """Two servers at the same port of theirs, each at its own of the host's."""
    first, second = shop.start("redis-6379"), shop.start("redis-6378")
    for port, name in ((6379, "first"), (6378, "second")):
        assert converse(host, "127.0.0.1", port, f"SET name {name}") == "+OK\r\n"
    for space, address in ((host, "127.0.0.1"), (host, HOST), (host.outside, HOST)):
        assert "first" in converse(space, address, 6379, "GET name")
        assert "second" in converse(space, address, 6378, "GET name")
    addresses = [
        json.loads(host.net("inspect", container).stdout)["networks"]["bridge"]["containers"][0][
            "address"
        ][0].partition("/")[0]
        for container in (first, second)
    ]
    assert addresses == ["10.87.0.2", "10.87.0.3"]
    for asker, other, name in ((first, 1, "second"), (second, 0, "first")):
        words = ("redis-cli", "-h", addresses[other], "GET", "name")
        assert hosted.call("exec", asker, *words).check().stdout == f"{name}\n"
    veths = host.ip("-d", "link", "show", "master", "ociruntime0")
    assert [link["linkinfo"]["info_kind"] for link in veths] == ["veth", "veth"]
    rows = sorted(line.split()[1:] for line in host.net("ls").stdout.splitlines()[1:])
    assert rows == [
        [first, "eth0", "10.87.0.2/16", "6379:6379/tcp", "attached"],
        [second, "eth0", "10.87.0.3/16", "6378:6379/tcp", "attached"],
    ]


def test_bridge_and_who_joins_it(host: Host, hosted: Runtime, shop: Shop) -> None:
    """The container is called by its id, in its own files, too; another one shares its network."""
    container = shop.start("net-bridge")
    page = f"Hello from {container}, 10.87.0.2\n"
    converse(host.outside, HOST, 8080, "GET / HTTP/1.0\r\n")
    assert host.outside.run("busybox", "wget", "-qO-", f"http://{HOST}:8080/").stdout == page
    files = "cat /etc/hostname /etc/hosts /etc/resolv.conf"
    text = hosted.call("exec", container, "sh", "-c", files).check().stdout
    assert text.startswith(f"{container}\n127.0.0.1\tlocalhost\n")
    assert f"10.87.0.2\t{container}\n" in text
    assert "nameserver " in text
    joined = hosted.run(shop.build("net-container", container)).check()
    assert joined.stdout == page


def test_host_and_none(host: Host, hosted: Runtime, shop: Shop) -> None:
    shown = hosted.run(shop.build("net-host")).check().stdout
    assert HOST in shown
    alone = hosted.run(shop.build("net-none")).check().stdout
    assert "127.0.0.1" in alone
    assert "eth0" not in alone


def test_failing_hook_behind_ours(host: Host, hosted: Runtime, shop: Shop) -> None:
    """The network was there when the next hook failed; it is not any more."""
    bundle = shop.build("net-bridge")
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["hooks"]["createRuntime"].append({"path": "/bin/false"})
    path.write_text(json.dumps(config))
    assert not hosted.create(bundle).ok
    assert host.net("ls").stdout.count("\n") == 1
    assert host.ip("link", "show", "master", "ociruntime0") == []


def test_killed_runtime(host: Host, hosted: Runtime, shop: Shop) -> None:
    """Nobody calls poststop; gc does, and the port is free for the next one."""
    container = shop.start("net-bridge")
    pid = hosted.call("state", container).json()["pid"]
    host.run("kill", "-KILL", str(pid))
    hosted.wait_for(container, "stopped")
    assert host.net("gc").stdout.splitlines() == [
        f"removed eth0 of container {container} on bridge",
        "removed bridge ociruntime0",
    ]
    hosted.call("delete", container).check()


def test_hostile_files(host: Host, hosted: Runtime, shop: Shop) -> None:
    """What a container writes into its /etc/hostname names nobody, and stops nobody."""
    bundle = shop.build("net-bridge")
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    for mount in config["mounts"]:
        mount["options"] = [option for option in mount.get("options", []) if option != "ro"]
    spoil = (
        r"printf '\377\n6.6.6.6 good.example' > /etc/hostname; cat /etc/hosts; echo x > /etc/hosts"
    )
    config["process"]["args"] = ["sh", "-ec", spoil]
    path.write_text(json.dumps(config))
    for number in (2, 3):
        done = hosted.run(bundle).check()
        assert f"10.87.0.{number}\t{done.container}\n" in done.stdout
        assert "6.6.6.6" not in done.stdout


def test_user_namespace(host: Host, hosted: Runtime, shop: Shop) -> None:
    """A container whose root is nobody on the host gets the same network, IPv6 included."""
    network = host.sandbox.directory / "both.conflist"
    ranges = [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]
    plugin = {
        "type": "ociruntime-bridge",
        "bridge": "br0",
        "isDefaultGateway": True,
        "ipMasq": True,
        "ipam": {"type": "ociruntime-ipam", "ranges": ranges},
    }
    network.write_text(json.dumps({"cniVersion": "1.0.0", "name": "both", "plugins": [plugin]}))
    bundle = shop.build("userns")
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    wish = Wish([str(network)], [], state=str(host.state))
    configure(config, wish, str(host.program), str(bundle), Store(str(hosted.root)))
    asks = f"hostname; for a in {OUTSIDE} {OUTSIDE6}; do nc -w 2 $a 7; echo; done"
    config["process"]["args"] = ["sh", "-ec", asks]
    path.write_text(json.dumps(config))
    host.outside.serve(7, "outside")
    done = hosted.run(bundle).check()
    assert done.stdout.split() == [done.container, "outside", HOST, "outside", HOST6]


@pytest.mark.parametrize(
    ("networks", "published", "words"),
    [
        (["host"], ["80:80"], "nothing to publish"),
        (["host", "bridge"], [], "cannot be combined"),
        (["bridge"], ["80"], "write [IP:]HOST:CONTAINER"),
        (["bridge"], ["0:80"], "'0' is no port"),
        (["bridge"], ["80:80/icmp"], "protocol 'icmp'"),
        (["bridge"], ["x:80:80"], "'x' is no IP address"),
    ],
)
def test_wishes_that_cannot_be(
    host: Host, networks: list[str], published: list[str], words: str
) -> None:
    config: dict[str, Any] = default_config()
    with pytest.raises(UsageError) as caught:
        configure(config, Wish(networks, published), str(host.program), "/b", Store("/nowhere"))
    assert words in str(caught.value)

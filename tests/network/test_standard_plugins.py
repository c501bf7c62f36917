"""The plugins that others made, under our client; and ours beside them on the same conflist."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.network.host import HOST, HOST6, OUTSIDE, OUTSIDE6, TCP, UDP, Host, Space
from tests.network.test_bridge import bridge
from tests.support.patience import PATIENCE

STANDARD = Path("/usr/lib/cni")
MakeConflist = Callable[..., str]
OURS = {"bridge": "ociruntime-bridge", "host-local": "ociruntime-ipam"}


def pool_of(host: Host) -> dict[str, Any]:
    """Addresses by host-local, its files among the test's own."""
    ranges = [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]
    return {"type": "host-local", "dataDir": str(host.state / "leases"), "ranges": ranges}


def chain(pool: dict[str, Any]) -> list[dict[str, Any]]:
    """What people have in their conflist for a bridge with published ports."""
    return [
        {
            "type": "bridge",
            "bridge": "br0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": pool,
        },
        {"type": "firewall"},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]


def ours(plugins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with our plugins, of which the bridge publishes ports itself."""
    first, *_ = plugins
    pool = first["ipam"] | {"type": OURS[first["ipam"]["type"]]}
    capabilities = {"portMappings": True}
    return [first | {"type": OURS[first["type"]], "ipam": pool, "capabilities": capabilities}]


def answer(asker: Space, address: str, port: int, kind: int) -> str:
    """Who answered, and as whom he saw the asker; empty when nobody did."""
    try:
        return " ".join(asker.ask(address, port, kind=kind))
    except OSError:
        return ""


def seen(host: Host, network: str) -> dict[str, Any]:
    """Addresses, routes, and who reaches whom: all that a container has of a network."""
    first = host.container("--network", network, "--publish", "8001:80", "--publish", "53:53/udp")
    second = host.container("--network", network, "--publish", "8002:80")
    for name, container in (("first", first), ("second", second)):
        container.serve(80, name)
        container.serve(53, name, kind=UDP)
    host.outside.serve(7, "outside")
    deadline = time.monotonic() + PATIENCE
    while host.ip("-6", "addr", "show", "tentative"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    facts: dict[str, Any] = {"bridge": global_addresses(host, "br0")}
    for name, container in (("first", first), ("second", second)):
        device = container.ip("addr", "show", "dev", "eth0")[0]
        facts[f"{name}: addresses"] = global_addresses(container, "eth0")
        facts[f"{name}: device"] = device["mtu"], device["operstate"]
        for family in ("-4", "-6"):
            facts[f"{name}: routes {family}"] = {
                (route["dst"], route.get("gateway"), route["dev"])
                for route in container.ip(family, "route")
            }
    published = [(8001, TCP), (8002, TCP), (53, UDP)]
    questions: list[tuple[str, Space, str, int, int]] = [
        *(
            (name, asker, target.address(family), port, kind)
            for port, kind in ((80, TCP), (53, UDP))
            for family in ("inet", "inet6")
            for name, asker, target in (("peer", first, second), ("host", host, first))
        ),
        ("out", first, OUTSIDE, 7, TCP),
        ("out", first, OUTSIDE6, 7, TCP),
        ("a port of nobody", first, "10.1.0.1", 80, TCP),
        *(
            (name, asker, address, port, kind)
            for port, kind in published
            for name, asker, address in (
                ("in", host.outside, HOST),
                ("in", host.outside, HOST6),
                ("loopback", host, "127.0.0.1"),
                ("own address", host, HOST),
                ("peer by the host", second, HOST),
                ("itself by the host", first, HOST),
            )
        ),
    ]
    for name, asker, address, port, kind in questions:
        label = f"{name}: {'tcp' if kind == TCP else 'udp'} {address} {port}"
        facts[label] = answer(asker, address, port, kind)
    assert sum(map(bool, facts.values())) == len(facts) - 1  # nobody is at the port of nobody
    return facts


def global_addresses(space: Space, device: str) -> set[tuple[str, int, str | None]]:
    """The device's addresses with prefix and broadcast address."""
    return {
        (entry["local"], entry["prefixlen"], entry.get("broadcast"))
        for entry in space.ip("addr", "show", "dev", device)[0]["addr_info"]
        if entry["scope"] == "global"
    }


def test_same_conflist(host: Host, twin: Host, conflist: MakeConflist) -> None:
    """The same addresses, routes and reachability, whosever plugins execute the configuration."""
    standard = chain(pool_of(host))
    found = [
        seen(host, conflist("standard", *standard)),
        seen(twin, conflist("ours", *ours(chain(pool_of(twin))))),
    ]
    assert found[1] == found[0]
    host.stop_containers()
    leases = host.state / "leases" / "standard"
    assert not [path for path in leases.iterdir() if path.name[0].isdigit()]
    assert "10.1.0" not in host.run("iptables-save").stdout
    host.run("ip", "link", "del", "br0")


def test_point_to_point_and_chain(host: Host, conflist: MakeConflist) -> None:
    """ptp with firewall and portmap behind it."""
    pool = pool_of(host) | {"routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [{"type": "ptp", "ipMasq": True, "ipam": pool}, *chain(pool_of(host))[1:]]
    container = host.container("--network", conflist("pair", *plugins), "--publish", "8001:80")
    container.serve(80, "here")
    host.outside.serve(7, "outside")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    assert container.ask(OUTSIDE, 7) == ["outside", HOST]
    assert host.outside.ask(HOST, 8001)[0] == "here"


def test_macvlan_and_loopback(host: Host, conflist: MakeConflist) -> None:
    """A container with an address of the outside's own subnet."""
    pool = pool_of(host) | {"ranges": [[{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.50"}]]}
    plugins = [{"type": "macvlan", "master": "eth0", "ipam": pool}, {"type": "loopback"}]
    network = conflist("direct", plugins[0])
    container = host.container("--network", network)
    container.serve(80, "here")
    assert container.address() == "192.0.2.50"
    assert host.outside.ask("192.0.2.50", 80) == ["here", OUTSIDE]
    host.net("check")
    container.run("ip", "addr", "flush", "dev", "eth0")
    said = host.net("check", check=False).stderr
    assert f"container {container.id}: network direct: plugin macvlan (CHECK): " in said
    loop = host.container("--network", conflist("loop", plugins[1]))
    assert "UP" in loop.ip("link", "show", "dev", "lo")[0]["flags"]


def test_error_of_a_plugin(host: Host, conflist: MakeConflist) -> None:
    """The plugin's own words and code; what came before it in the chain is taken back."""
    bad = {"type": "macvlan", "master": "nowhere", "ipam": pool_of(host)}
    container = host.container(attach=False)
    done = container.hook("--network", conflist("bad", bridge("10.1.0.0/24"), bad), check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "network bad: plugin macvlan (ADD): " in done.stderr
    assert "Link not found" in done.stderr
    assert "(code " in done.stderr


def test_mixed(host: Host, conflist: MakeConflist) -> None:
    """Ours are called by a plugin of others, and call them: the bridge's ipam, the ports' chain."""
    path = ("--cni-path", f"/usr/lib/cni:{host.program.parent}")
    one, two = chain(pool_of(host)), ours(chain(pool_of(host)))
    one[0]["ipam"]["type"] = "ociruntime-ipam"
    two[0] |= {"bridge": "br1", "capabilities": {}}
    two[0]["ipam"] |= {"type": "host-local", "ranges": [[{"subnet": "10.2.0.0/24"}]]}
    first = host.container(*path, "--network", conflist("one", *one), "--publish", "8001:80")
    second = host.container(
        *path, "--network", conflist("two", *two, one[2]), "--publish", "8002:80"
    )
    for container, address, port in ((first, "10.1.0.2", 8001), (second, "10.2.0.2", 8002)):
        container.serve(80, address)
        assert container.address() == address
        assert host.outside.ask(HOST, port) == [address, OUTSIDE]
    assert "10.1.0.2" in (host.state / "leases" / "one.json").read_text()
    assert (host.state / "leases" / "two" / "10.2.0.2").exists()
    first.end()
    assert host.net("gc").stdout.count("removed eth0 of container") == 1
    assert host.outside.ask(HOST, 8002) == ["10.2.0.2", OUTSIDE]
    host.run("ip", "link", "del", "br0")

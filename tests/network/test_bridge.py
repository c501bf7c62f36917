"""Traffic of containers on a bridge of ours, by each of the ways to set the packet filter."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from tests.network.host import HOST, HOST6, OUTSIDE, OUTSIDE6, Host

UDP = socket.SOCK_DGRAM
BRIDGE = {
    "type": "ociruntime-bridge",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "hairpinMode": True,
    "capabilities": {"portMappings": True, "ips": True, "mac": True},
}
MakeConflist = Callable[..., str]


def bridge(*subnets: str, **more: Any) -> dict[str, Any]:
    """The plugin's configuration with these subnets."""
    ipam = {"type": "ociruntime-ipam", "ranges": [[{"subnet": subnet}] for subnet in subnets]}
    return BRIDGE | {"ipam": ipam} | more


def test_traffic(host: Host, conflist: MakeConflist, firewall: str) -> None:
    """Two containers publish the same port as two of the host's."""
    network = conflist("both", bridge("10.1.0.0/24", "fd00:1::/64", firewall=firewall))
    first = host.container("--network", network, "--publish", "8001:80", "--publish", "53:53/udp")
    second = host.container("--network", network, "--publish", "8002:80")
    for name, container in (("first", first), ("second", second)):
        container.serve(80, name)
        container.serve(53, name, kind=UDP)
    host.outside.serve(7, "outside")
    # container to container, by both families, and the host to a container
    assert first.ask(second.address(), 80) == ["second", first.address()]
    assert first.ask(second.address("inet6"), 80) == ["second", first.address("inet6")]
    assert first.ask(second.address(), 53, kind=UDP) == ["second", first.address()]
    assert host.ask(first.address(), 80)[0] == "first"
    # out, under the host's address
    assert first.ask(OUTSIDE, 7) == ["outside", HOST]
    assert first.ask(OUTSIDE6, 7) == ["outside", HOST6]
    # in, and the client's address is seen
    assert host.outside.ask(HOST, 8001) == ["first", OUTSIDE]
    assert host.outside.ask(HOST, 8002) == ["second", OUTSIDE]
    assert host.outside.ask(HOST6, 8001) == ["first", OUTSIDE6]
    assert host.outside.ask(HOST, 53, kind=UDP) == ["first", OUTSIDE]
    # from the host itself, by its own address and by loopback
    assert host.ask(HOST, 8001)[0] == "first"
    assert host.ask("127.0.0.1", 8002)[0] == "second"
    assert host.ask("127.0.0.1", 53, kind=UDP)[0] == "first"
    # from a container by the host's address: to another one, and to itself
    assert second.ask(HOST, 8001)[0] == "first"
    assert first.ask(HOST, 8001)[0] == "first"
    assert first.ask(HOST6, 8002)[0] == "second"
    # not published
    assert host.outside.is_deaf(HOST, 80)
    links = [link["ifname"] for link in host.ip("link", "show", "master", "br0")]
    assert len(links) == 2
    assert all(name.startswith("veth") for name in links)
    first.stop()
    assert host.outside.is_deaf(HOST, 8001)
    assert host.outside.ask(HOST, 8002)[0] == "second"


def test_isolation(host: Host, conflist: MakeConflist, firewall: str) -> None:
    """Networks, and the world, meet by published ports only."""
    one = conflist("one", bridge("10.1.0.0/24", firewall=firewall))
    two = conflist("two", bridge("10.2.0.0/24", bridge="br1", firewall=firewall))
    first = host.container("--network", one, "--publish", "8001:80")
    second = host.container("--network", two)
    for container in (first, second):
        container.serve(80, "here")
    assert second.is_deaf(first.address(), 80)
    assert second.ask(HOST, 8001)[0] == "here"
    host.outside.run("ip", "route", "add", "10.1.0.0/16", "via", HOST)
    assert host.outside.is_deaf(first.address(), 80)


def test_loopback_of_the_host_stays_its_own(
    host: Host, conflist: MakeConflist, firewall: str
) -> None:
    """CVE-2020-8558: a container sends packets for 127.0.0.1 to the bridge."""
    network = conflist("one", bridge("10.1.0.0/24", firewall=firewall))
    container = host.container("--network", network, "--publish", "8001:80")
    host.serve(99, "host", at="127.0.0.1")
    assert host.ask("127.0.0.1", 99)[0] == "host"
    container.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    container.run("ip", "link", "set", "lo", "down")
    container.run("ip", "route", "add", "127.0.0.1/32", "via", "10.1.0.1", "src", "10.1.0.2")
    assert container.is_deaf("127.0.0.1", 99)


def test_published_at_one_address(host: Host, conflist: MakeConflist) -> None:
    network = conflist("both", bridge("10.1.0.0/24", "fd00:1::/64"))
    container = host.container(
        "--network", network, "--publish", "127.0.0.1:81:80", "--publish", f"[{HOST6}]:82:80"
    )
    container.serve(80, "here")
    assert host.ask("127.0.0.1", 81)[0] == "here"
    assert host.is_deaf(HOST, 81)
    assert host.outside.is_deaf(HOST, 81)
    assert host.outside.ask(HOST6, 82)[0] == "here"
    assert host.outside.is_deaf(HOST, 82)


def test_foreign_firewall(host: Host, conflist: MakeConflist) -> None:
    """A host that forwards nothing unless told so, as one with Docker."""
    host.run("iptables", "-P", "FORWARD", "DROP")
    container = host.container("--publish", "8001:80")
    container.serve(80, "here")
    host.outside.serve(7, "outside")
    assert container.ask(OUTSIDE, 7)[0] == "outside"
    assert host.outside.ask(HOST, 8001)[0] == "here"
    assert "ociruntime" in host.run("iptables", "-S", "FORWARD").stdout
    container.stop()
    host.net("gc")
    assert host.run("iptables", "-S", "FORWARD").stdout == "-P FORWARD DROP\n"


def test_device(host: Host, conflist: MakeConflist) -> None:
    """MTU, MAC and address as asked for; router advertisements have no say (CVE-2020-10749)."""
    network = conflist("one", bridge("10.1.0.0/24", "fd00:1::/64", mtu=1400))
    options = ("--mac", "02:00:00:00:00:07", "--ip", "10.1.0.77")
    container = host.container("--network", network, *options)
    device = container.ip("link", "show", "dev", "eth0")[0]
    assert (device["mtu"], device["address"]) == (1400, "02:00:00:00:00:07")
    assert container.address() == "10.1.0.77"
    routes = {(r["dst"], r.get("gateway")) for r in container.ip("route")}
    assert routes == {("default", "10.1.0.1"), ("10.1.0.0/24", None)}
    assert "10.1.0.1" in str(host.ip("addr", "show", "dev", "br0"))
    veth = host.ip("link", "show", "master", "br0")[0]["ifname"]
    for name in ("br0", veth):
        assert host.run("cat", f"/proc/sys/net/ipv6/conf/{name}/accept_ra").stdout == "0\n"
    assert container.run("cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").stdout == "0\n"


def test_two_networks(host: Host, conflist: MakeConflist) -> None:
    one = conflist("one", bridge("10.1.0.0/24"))
    two = conflist(
        "two", bridge("10.2.0.0/24", bridge="br1", isDefaultGateway=False, isGateway=True)
    )
    container = host.container("--network", one, "--network", two)
    other = host.container("--network", two)
    container.serve(80, "here")
    assert container.address(device="eth0") == "10.1.0.2"
    assert other.ask(container.address(device="eth1"), 80)[0] == "here"
    host.net("check")
    rows = host.net("ls").stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["NETWORK", "one", "two", "two"]

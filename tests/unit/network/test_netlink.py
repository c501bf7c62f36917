"""The messages that we write, as pyroute2 reads them."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6
from typing import Any

import pytest
from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ociruntime.network import netlink as n
from ociruntime.network.addresses import Address, Interface

MAC = bytes.fromhex("02420a570002")


class Kernel:
    """A socket that keeps what it is sent, and acknowledges it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        sequence = n.HEADER.unpack_from(self.sent[-1])[3]
        return bytes(n.HEADER.pack(20, n.NLMSG_ERROR, 0, sequence, 0) + bytes(4))

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def link(kernel: Kernel) -> n.Netlink:
    made = n.Netlink()
    made._socket.close()
    made._socket = kernel  # type: ignore[assignment]
    return made


def last(kernel: Kernel, kind: type[nlmsg]) -> Any:
    """The last message as pyroute2 understands it."""
    message = kind(kernel.sent[-1])
    message.decode()
    assert message["header"]["length"] == len(kernel.sent[-1])
    assert message["header"]["flags"] & (n.NLM_F_REQUEST | n.NLM_F_ACK) == 5
    return message


def test_bridge(kernel: Kernel, link: n.Netlink) -> None:
    link.add_bridge("br0", MAC, 1400)
    message = last(kernel, ifinfmsg)
    assert message["header"]["type"] == 16  # RTM_NEWLINK
    assert message["header"]["flags"] & 0x600 == 0x600  # create, and only that
    attributes = {name: message.get_attr(f"IFLA_{name}") for name in ("IFNAME", "ADDRESS", "MTU")}
    assert attributes == {"IFNAME": "br0", "ADDRESS": "02:42:0a:57:00:02", "MTU": 1400}
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "bridge"


def test_veth(kernel: Kernel, link: n.Netlink) -> None:
    link.add_veth("veth0", "eth0", 7, 1400, MAC, 5)
    message = last(kernel, ifinfmsg)
    assert message.get_attr("IFLA_IFNAME") == "veth0"
    assert message.get_attr("IFLA_MASTER") == 5
    assert message.get_attr("IFLA_MTU") == 1400
    peer = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_ADDRESS") == "02:42:0a:57:00:02"
    assert peer.get_attr("IFLA_NET_NS_FD") == 7
    assert peer.get_attr("IFLA_MTU") == 1400


def test_changes(kernel: Kernel, link: n.Netlink) -> None:
    link.set_up(3, "x")
    message = last(kernel, ifinfmsg)
    assert (message["index"], message["flags"], message["change"]) == (3, 1, 1)
    link.set_hairpin(3, "x")
    message = last(kernel, ifinfmsg)
    assert (message["family"], message["index"]) == (7, 3)
    assert message.get_nested("IFLA_PROTINFO", "IFLA_BRPORT_MODE") == 1
    link.remove("veth0")
    message = last(kernel, ifinfmsg)
    assert (message["header"]["type"], message.get_attr("IFLA_IFNAME")) == (17, "veth0")


@pytest.mark.parametrize(
    ("text", "family", "broadcast"),
    [
        ("10.87.0.2/16", AF_INET, "10.87.255.255"),
        ("10.87.0.2/31", AF_INET, None),
        ("fd00:1::2/64", AF_INET6, None),
    ],
)
def test_address(
    kernel: Kernel, link: n.Netlink, text: str, family: int, broadcast: str | None
) -> None:
    address, _, prefix = text.partition("/")
    link.add_address(4, Interface.parse(text), "x")
    message = last(kernel, ifaddrmsg)
    assert message["header"]["type"] == 20
    assert (message["family"], message["prefixlen"], message["index"]) == (family, int(prefix), 4)
    assert message.get_attr("IFA_LOCAL") == message.get_attr("IFA_ADDRESS") == address
    assert message.get_attr("IFA_BROADCAST") == broadcast
    assert bool(message["flags"] & 2) is (family == AF_INET6)  # IFA_F_NODAD
    link.remove_address(4, Interface.parse(text), "x")
    message = last(kernel, ifaddrmsg)
    assert (message["header"]["type"], message.get_attr("IFA_LOCAL")) == (21, address)


@pytest.mark.parametrize(
    ("destination", "gateway", "options"),
    [
        ("0.0.0.0/0", "10.87.0.1", {}),
        ("10.9.0.0/24", None, {"priority": 7, "mtu": 1300, "advmss": 1200}),
        ("10.9.0.0/24", "10.87.0.1", {"table": 200}),
        ("fd00:9::/48", "fd00:1::1", {"table": 4711, "scope": 200}),
    ],
)
def test_route(
    kernel: Kernel,
    link: n.Netlink,
    destination: str,
    gateway: str | None,
    options: dict[str, int],
) -> None:
    address, _, prefix = destination.partition("/")
    via = Address.parse(gateway) if gateway else None
    link.add_route(6, Interface.parse(destination), via, "x", options)
    message = last(kernel, rtmsg)
    assert message["header"]["type"] == 24
    assert message["dst_len"] == int(prefix)
    assert message.get_attr("RTA_DST") == (address if int(prefix) else None)
    assert message.get_attr("RTA_GATEWAY") == gateway
    assert message.get_attr("RTA_OIF") == 6
    assert message.get_attr("RTA_TABLE") == options.get("table", 254)
    assert message["table"] == (options.get("table", 254) if options.get("table", 0) < 256 else 0)
    assert message.get_attr("RTA_PRIORITY") == options.get("priority")
    assert message["scope"] == options.get("scope", 0 if gateway else 253)
    assert (message["type"], message["proto"]) == (1, 3)
    metrics = message.get_attr("RTA_METRICS")
    if "mtu" in options:
        assert (metrics.get_attr("RTAX_MTU"), metrics.get_attr("RTAX_ADVMSS")) == (1300, 1200)
    else:
        assert metrics is None

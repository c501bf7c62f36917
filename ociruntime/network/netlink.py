"""rtnetlink(7): the messages that connecting a container needs, and no others.

pyroute2, which the rest of the project uses for devices, needs 150 ms to be imported, whichever
part of it: ten times what all of this work takes, at every start of a container. These are 12
kinds of messages in one flat encoding; tests have pyroute2 read them.
"""

from __future__ import annotations

import errno
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from _struct import Struct

from ociruntime import hostos as os
from ociruntime.errors import OciError, explain_errno
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.network.addresses import BITS, Address, Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

# linux/netlink.h, linux/rtnetlink.h
NETLINK_ROUTE = 0
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE = 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 254, 3, 0, 253, 1
# linux/if_link.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO, IFLA_LINKINFO = 1, 3, 4, 10, 12, 18
IFLA_NET_NS_FD = 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_BRPORT_MODE = 4
AF_BRIDGE = 7
IFF_UP = 1
# linux/if_addr.h
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_METRICS, RTA_TABLE = 1, 4, 5, 6, 8, 15
METRICS = {"mtu": 2, "advmss": 8}
RECEIVED = 1 << 18

HEADER = Struct("=IHHII")
LINK = Struct("=BxHiII")
ADDRESS = Struct("=BBBBI")
ROUTE = Struct("=BBBBBBBBI")
ATTRIBUTE = Struct("=HH")
NUMBER = Struct("=i")
U32 = Struct("=I")


class NetlinkError(OciError):
    """The kernel refused; ``number`` is the errno."""

    def __init__(self, what: str, number: int, detail: str = "") -> None:
        super().__init__(f"{what}: {explain_errno(number, detail)}")
        self.number = number


class Link:
    """One network device as the kernel lists it."""

    __slots__ = ("index", "kind", "mac", "master", "mtu", "name", "up")

    def __init__(self, index: int, flags: int, attributes: dict[int, bytes]) -> None:
        self.index = index
        self.up = bool(flags & IFF_UP)
        self.name = attributes.get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
        self.mac = attributes.get(IFLA_ADDRESS, b"")
        self.mtu = _number(attributes, IFLA_MTU)
        self.master = _number(attributes, IFLA_MASTER)
        info = attributes_of(attributes.get(IFLA_LINKINFO, b""))
        self.kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode("utf-8", "replace")


class Netlink:
    """A connection to one network namespace: the caller's, or the one of the descriptor
    ``namespace``. Use as a context manager.

    All methods raise ``NetlinkError`` when the kernel refuses.
    """

    PROTOCOL = NETLINK_ROUTE

    def __init__(self, namespace: int = -1) -> None:
        if namespace < 0:
            self._socket = _connect(self.PROTOCOL)
        else:
            with InNamespace(namespace):
                # A socket stays in the namespace it was made in (network_namespaces(7)).
                self._socket = _connect(self.PROTOCOL)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def link(self, name: str) -> Link | None:
        """The device ``name``, None when there is none."""
        body = LINK.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, name)
        try:
            answers = self._ask(RTM_GETLINK, 0, body, f"device {name}")
        except NetlinkError as error:
            if error.number == errno.ENODEV:
                return None
            raise
        return _link(answers[0]) if answers else None

    def links(self) -> list[Link]:
        """All devices."""
        body = LINK.pack(0, 0, 0, 0, 0)
        return [_link(raw) for raw in self._ask(RTM_GETLINK, NLM_F_DUMP, body, "list of devices")]

    def add_bridge(self, name: str, mac: bytes, mtu: int) -> None:
        """Make a bridge; ``mtu`` in bytes, 0 for the kernel's choice."""
        kind = nested(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "bridge"))
        body = _text(IFLA_IFNAME, name) + raw(IFLA_ADDRESS, mac) + kind
        if mtu:
            body += u32(IFLA_MTU, mtu)
        self._new_link(body, "bridge", f"bridge {name}")

    def fix_mac(self, link: Link) -> None:
        """Have a bridge keep the MAC that it has: one that nobody set follows its ports'."""
        body = LINK.pack(0, 0, link.index, 0, 0) + raw(IFLA_ADDRESS, link.mac)
        self._do(RTM_SETLINK, 0, body, f"address of {link.name}")

    def add_veth(
        self, name: str, peer: str, namespace: int, mtu: int, mac: bytes, master: int
    ) -> None:
        """Make a pair of devices, ``name`` here, a port of the bridge ``master``, and ``peer`` with
        the address ``mac`` in the network namespace ``namespace`` (a descriptor): it is never seen
        elsewhere.
        """
        other = LINK.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, peer)
        other += u32(IFLA_NET_NS_FD, namespace)
        if mac:
            other += raw(IFLA_ADDRESS, mac)
        size = u32(IFLA_MTU, mtu) if mtu else b""
        data = nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, other + size))
        kind = nested(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "veth") + data)
        body = _text(IFLA_IFNAME, name) + size + u32(IFLA_MASTER, master)
        self._new_link(body + kind, "veth", f"device pair {name} and {peer}")

    def _new_link(self, attributes: bytes, kind: str, what: str) -> None:
        flags = NLM_F_CREATE | NLM_F_EXCL
        try:
            self._do(RTM_NEWLINK, flags, LINK.pack(0, 0, 0, 0, 0) + attributes, what)
        except NetlinkError as error:
            if error.number != errno.EOPNOTSUPP:
                raise
            detail = f"the kernel has no devices of type {kind}; try `modprobe {kind}`"
            raise NetlinkError(what, error.number, detail) from None

    def set_up(self, index: int, what: str) -> None:
        """Switch the device on."""
        self._do(RTM_NEWLINK, 0, LINK.pack(0, 0, index, IFF_UP, IFF_UP), what)

    def set_hairpin(self, index: int, what: str) -> None:
        """Let the bridge send frames back through the port they came in by."""
        port = nested(IFLA_PROTINFO, raw(IFLA_BRPORT_MODE, b"\1"))
        self._do(RTM_SETLINK, 0, LINK.pack(AF_BRIDGE, 0, index, 0, 0) + port, what)

    def remove(self, name: str) -> bool:
        """Remove the device ``name``; False when there is none."""
        body = LINK.pack(0, 0, 0, 0, 0) + _text(IFLA_IFNAME, name)
        try:
            self._do(RTM_DELLINK, 0, body, f"removing device {name}")
        except NetlinkError as error:
            if error.number == errno.ENODEV:
                return False
            raise
        return True

    def addresses(self, index: int = 0) -> list[tuple[int, Interface]]:
        """(device index, address) of every address, or of those of the device ``index``."""
        found = []
        for raw in self._ask(RTM_GETADDR, NLM_F_DUMP, ADDRESS.pack(0, 0, 0, 0, 0), "addresses"):
            family, prefix, _, _, device = ADDRESS.unpack_from(raw)
            attributes = attributes_of(raw[ADDRESS.size :])
            value = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
            if family in BITS and value and index in (0, device):
                address = Address(family, int.from_bytes(value, "big"))
                found.append((device, Interface(address, prefix)))
        return found

    def add_address(self, index: int, interface: Interface, what: str) -> None:
        """Give the device an address; IPv6 without waiting for duplicates (RFC 4862 5.4 takes a
        second, and these are handed out by a table).
        """
        flags = IFA_F_NODAD if interface.family == AF_INET6 else 0
        value = interface.address.packed
        body = ADDRESS.pack(interface.family, interface.prefix, flags, RT_SCOPE_UNIVERSE, index)
        body += raw(IFA_LOCAL, value) + raw(IFA_ADDRESS, value)
        if interface.family == AF_INET and interface.prefix < 31:
            body += raw(IFA_BROADCAST, interface.last.to_bytes(4, "big"))
        self._do(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"{what}: address {interface}")

    def remove_address(self, index: int, interface: Interface, what: str) -> None:
        """Take an address from the device."""
        body = ADDRESS.pack(interface.family, interface.prefix, 0, 0, index)
        body += raw(IFA_LOCAL, interface.address.packed)
        self._do(RTM_DELADDR, 0, body, f"{what}: removing address {interface}")

    def add_route(
        self,
        index: int,
        destination: Interface,
        gateway: Address | None,
        what: str,
        options: dict[str, int],
    ) -> None:
        """A route out of the device. ``options``: priority, table, scope, and mtu and advmss in
        bytes; what is missing or 0 is the kernel's choice.
        """
        scope = options.get("scope") or (RT_SCOPE_UNIVERSE if gateway else RT_SCOPE_LINK)
        table = options.get("table") or RT_TABLE_MAIN
        body = ROUTE.pack(
            destination.family, destination.prefix, 0, 0, table if table < 256 else 0, RTPROT_BOOT,
            scope, RTN_UNICAST, 0,
        )  # fmt: skip
        body += u32(RTA_TABLE, table)
        if destination.prefix:
            body += raw(RTA_DST, Address(destination.family, destination.first).packed)
        if gateway:
            body += raw(RTA_GATEWAY, gateway.packed)
        if options.get("priority"):
            body += u32(RTA_PRIORITY, options["priority"])
        metrics = b"".join(
            u32(number, options[name]) for name, number in METRICS.items() if options.get(name)
        )
        if metrics:
            body += nested(RTA_METRICS, metrics)
        body += u32(RTA_OIF, index)
        label = f"{what}: route to {destination}" + (f" via {gateway}" if gateway else "")
        self._do(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, label)

    def _do(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._ask(kind, flags | NLM_F_ACK, body, what)

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> list[bytes]:
        """Send one request; the bodies of its answers."""
        self._sequence += 1
        length = HEADER.size + len(body)
        header = HEADER.pack(length, kind, flags | NLM_F_REQUEST, self._sequence, 0)
        try:
            self._socket.send(header + body)
            return self._answers(flags, what)
        except OSError as error:
            raise NetlinkError(what, error.errno or 0) from None

    def _answers(self, flags: int, what: str) -> list[bytes]:
        found: list[bytes] = []
        while True:
            data = self._socket.recv(RECEIVED)
            while data:
                length, kind, _, sequence, _ = HEADER.unpack_from(data)
                body, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    number = -NUMBER.unpack_from(body)[0]
                    if number:
                        raise NetlinkError(what, number)
                    return found
                if kind == NLMSG_DONE:
                    return found
                found.append(body)
            if found and not flags & (NLM_F_ACK | NLM_F_DUMP):
                return found


class InNamespace:
    """The calling thread is in the network namespace of a descriptor, until the block ends."""

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self.kernel = Kernel()
        self.ours = -1

    def __enter__(self) -> None:
        self.ours = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.kernel.setns(self.namespace, c.CLONE_NEWNET)

    def __exit__(self, *exception: object) -> None:
        self.kernel.setns(self.ours, c.CLONE_NEWNET)
        os.close(self.ours)


def is_namespace(path: str) -> bool:
    """Whether a network namespace is at ``path``: what is left when it has been unmounted is an
    ordinary file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return False
    try:
        return Kernel().namespace_type(fd) == c.CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(fd)


def _connect(protocol: int) -> socket:
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)


def _link(raw: bytes) -> Link:
    _, _, index, flags, _ = LINK.unpack_from(raw)
    return Link(index, flags, attributes_of(raw[LINK.size :]))


def raw(kind: int, value: bytes) -> bytes:
    """An attribute."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return raw(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """An attribute of 32 bits."""
    return raw(kind, U32.pack(value))


def nested(kind: int, content: bytes) -> bytes:
    """An attribute of attributes."""
    # VETH_INFO_PEER and the link's own nests are accepted with the flag and without.
    return raw(kind | NLA_F_NESTED, content)


def attributes_of(data: bytes) -> dict[int, bytes]:
    """The attributes in ``data``, by kind."""
    found = {}
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            break
        found[kind & ~NLA_F_NESTED] = data[ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found


def _number(attributes: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(attributes.get(kind, b"")[:4], "little")

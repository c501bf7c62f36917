"""Flows that the kernel remembers (nf_conntrack), for the ports that are published.

The packet filter is asked for the first packet of a flow only. A datagram socket that goes on
sending keeps its flow alive, so it would be led to a container that is gone, or, where it began
before there was a container, to nobody, for as long as it sends. Connections of TCP begin anew.

Source: linux/netfilter/nfnetlink_conntrack.h; a dump is filtered by the kernel (CTA_FILTER, since
5.8), so a busy host's table is not read.
"""

from __future__ import annotations

import errno
from _socket import AF_INET, AF_INET6
from _struct import Struct

from ociruntime.network.netlink import (
    NLM_F_DUMP,
    Netlink,
    NetlinkError,
    attributes_of,
    nested,
    raw,
    u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.network.firewall import Mapping

NETLINK_NETFILTER = 12
# enum cntl_msg_types below NFNL_SUBSYS_CTNETLINK
CT_GET, CT_DELETE = 0x101, 0x102
# enum ctattr_type, ctattr_tuple, ctattr_ip, ctattr_l4proto, ctattr_filter
CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE, CTA_FILTER = 1, 12, 18, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_DST, CTA_IP_V6_DST = 2, 4
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
# enum ctattr_filter_flags: the attributes of the tuple that must be equal.
BY_PROTOCOL_AND_PORT = 1 << 3 | 1 << 5
# Who sends on without a new beginning: TCP is not among them.
LASTING = {"udp": 17, "sctp": 132}
FAMILY = Struct("=BBH")
# What the kernel says where it was built without connection tracking by netlink.
ABSENT = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)


class Conntrack(Netlink):
    """The table of one network namespace: the caller's."""

    PROTOCOL = NETLINK_NETFILTER

    def forget(self, mapping: Mapping, own: set[bytes]) -> int:
        """Remove the flows to a published port; how many there were.

        Parameters: ``own`` are the addresses of the host (packed), which a flow to "every address"
        is for: others pass through, and are none of the port's. Raises ``NetlinkError``.
        """
        protocol = LASTING.get(mapping.protocol)
        if protocol is None:
            return 0
        family = AF_INET if mapping.is_v4 else AF_INET6
        head = FAMILY.pack(family, 0, 0)
        what = f"flows to port {mapping}"
        proto = raw(CTA_PROTO_NUM, bytes([protocol]))
        proto += raw(CTA_PROTO_DST_PORT, mapping.host_port.to_bytes(2, "big"))
        wanted = nested(CTA_TUPLE_ORIG, nested(CTA_TUPLE_PROTO, proto))
        flags = u32(CTA_FILTER_ORIG_FLAGS, BY_PROTOCOL_AND_PORT) + u32(CTA_FILTER_REPLY_FLAGS, 0)
        body = head + wanted + nested(CTA_FILTER, flags)
        count = 0
        for answer in self._ask(CT_GET, NLM_F_DUMP, body, what):
            flow = attributes_of(answer[FAMILY.size :])
            if not _is_for(flow, mapping, own):
                continue
            same = nested(CTA_TUPLE_ORIG, flow[CTA_TUPLE_ORIG])
            same += b"".join(raw(kind, flow[kind]) for kind in (CTA_ID, CTA_ZONE) if kind in flow)
            try:
                self._do(CT_DELETE, 0, head + same, what)
                count += 1
            except NetlinkError as error:
                if error.number != errno.ENOENT:  # it has ended meanwhile
                    raise
        return count


def _is_for(flow: dict[int, bytes], mapping: Mapping, own: set[bytes]) -> bool:
    """Whether the flow was begun to an address at which the port is published."""
    addresses = attributes_of(attributes_of(flow[CTA_TUPLE_ORIG])[CTA_TUPLE_IP])
    address = addresses.get(CTA_IP_V4_DST if mapping.is_v4 else CTA_IP_V6_DST, b"")
    if mapping.host is not None:
        return address == mapping.host.packed
    return address in own or (mapping.is_v4 and address[:1] == b"\x7f")


def forget_flows(host: Netlink, mappings: list[Mapping]) -> str:
    """Remove what the kernel remembers of flows to published ports; a warning where it cannot be
    asked, else "".
    """
    lasting = [mapping for mapping in mappings if mapping.protocol in LASTING]
    if not lasting:
        return ""
    own = {interface.address.packed for _, interface in host.addresses()}
    try:
        with Conntrack() as table:
            for mapping in lasting:
                table.forget(mapping, own)
    except (NetlinkError, OSError) as error:
        number = error.number if isinstance(error, NetlinkError) else error.errno
        if number not in ABSENT:
            raise
        ports = ", ".join(map(str, lasting))
        return (
            f"flows to {ports} that began before cannot be ended: the kernel has no "
            "nf_conntrack_netlink; who sends there should begin anew"
        )
    return ""

"""The bridge itself: made when the first container comes, and checked each time."""

from __future__ import annotations

import errno
from _socket import AF_INET, AF_INET6

from ociruntime import hostos as os
from ociruntime.digest import digest
from ociruntime.network import cni
from ociruntime.network.cni import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.network.addresses import Interface
    from ociruntime.network.bridgesettings import Settings
    from ociruntime.network.netlink import Link, Netlink

FORWARDING = {AF_INET: "ipv4/ip_forward", AF_INET6: "ipv6/conf/all/forwarding"}
LINK_LOCAL = 0xFE80 << 112


def ensure_bridge(
    host: Netlink, settings: Settings, addresses: list[Interface]
) -> tuple[Link, bool]:
    """(the bridge, whether it was made just now), up and with ``addresses``.

    The caller holds the lock. Raises ``CniError`` when a device of this name is no bridge, when it
    has another address, or when the subnet is in use elsewhere on the host.
    """
    name = settings.bridge
    link = host.link(name)
    is_new = link is None
    if link is None:
        _check_overlap(host, 0, addresses)
        host.add_bridge(name, own_mac(name), settings.mtu)
        link = host.link(name)
    if link is None or link.kind != "bridge":
        raise CniError(
            cni.REFUSED, f"the device {name} is no bridge", "give the bridge another name"
        )
    try:
        if is_new:
            sysctl(f"ipv6/conf/{name}/accept_ra", "0", optional=True)
            # No neighbour is asked for while the link-local address is being tried: for two
            # seconds nothing would get through.
            sysctl(f"ipv6/conf/{name}/accept_dad", "0", optional=True)
        else:
            host.fix_mac(link)
        _ensure_addresses(host, link, settings, addresses)
        if not link.up:
            host.set_up(link.index, name)
        for family in {address.family for address in addresses}:
            sysctl(FORWARDING[family], "1")
    except BaseException:
        if is_new:
            host.remove(name)
        raise
    return link, is_new


def own_mac(name: str) -> bytes:
    """The MAC of a bridge ``name`` that we make.

    Without one a bridge takes that of its lowest port, and changes it whenever a container comes or
    goes. And by it ``net gc`` knows which bridges are ours.
    """
    return b"\x02" + digest(name.encode())[:5]


def _ensure_addresses(
    host: Netlink, link: Link, settings: Settings, addresses: list[Interface]
) -> None:
    present = [interface for _, interface in host.addresses(link.index)]
    have = list(map(str, present))
    for wanted in addresses:
        if str(wanted) in have:
            continue
        for other in present:
            if other.family != wanted.family or _is_link_local(other):
                continue
            if wanted.family == AF_INET6 and not wanted.overlaps(other):
                continue
            if not settings.force_address:
                raise CniError(
                    cni.FOREIGN_ADDRESS,
                    f"the bridge {link.name} has the address {other}, not {wanted}",
                    'name another bridge, use its subnet, or set "forceAddress": true',
                )
            host.remove_address(link.index, other, link.name)
        _check_overlap(host, link.index, [wanted])
        if wanted.family == AF_INET6:
            sysctl(f"ipv6/conf/{link.name}/disable_ipv6", "0")
        host.add_address(link.index, wanted, link.name)


def _check_overlap(host: Netlink, own: int, addresses: list[Interface]) -> None:
    """Raise ``CniError`` when another device of the host is in one of the subnets: the host would
    no longer reach one of the two.
    """
    for index, other in host.addresses():
        for wanted in addresses:
            if index != own and wanted.overlaps(other) and not _is_link_local(other):
                names = {link.index: link.name for link in host.links()}
                raise CniError(
                    cni.FOREIGN_ADDRESS,
                    f"the subnet {wanted.network} overlaps with {other} of the host's device "
                    f"{names.get(index, index)}",
                    "use another subnet",
                )


def _is_link_local(interface: Interface) -> bool:
    return interface.family == AF_INET6 and interface.address.number >> 118 == LINK_LOCAL >> 118


def sysctl(name: str, value: str, *, optional: bool = False) -> None:
    """Set ``/proc/sys/net/NAME`` of the calling thread's network namespace; an ``optional`` one may
    be missing. Raises ``CniError``.
    """
    path = f"/proc/sys/net/{name}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.pread(fd, 64, 0).strip() != value.encode():
                # A write that is not at the file's beginning would be ignored (proc_sys_kernel(5),
                # sysctl_writes_strict).
                os.pwrite(fd, value.encode(), 0)
        finally:
            os.close(fd)
    except OSError as error:
        if optional and error.errno == errno.ENOENT:
            return
        hint = "the kernel has no IPv6, or it is switched off" if name.startswith("ipv6") else ""
        raise CniError(cni.REFUSED, f"{path} cannot be set: {error.strerror}", hint) from None

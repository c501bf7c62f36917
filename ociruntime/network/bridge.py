"""The plugin ociruntime-bridge: a container is a port of a bridge, by a pair of devices.

Configuration, as the standard plugin bridge has it: ``bridge``, ``isGateway``,
``isDefaultGateway``, ``forceAddress``, ``ipMasq``, ``mtu`` (bytes), ``hairpinMode``, ``ipam``,
``dns``; and of its own ``isolated`` (true unless set: nothing enters the bridge from elsewhere but
answers and published ports), ``firewall`` (nftables, iptables, none; the first that the host has)
and ``dataDir``. Capabilities: ``portMappings``, ``mac``, ``ips`` (for the ipam plugin).

What is going to be made is written down first, under names that follow from the container's id: so
DEL finds all of it, whoever was killed when, and without the network namespace.
"""

from __future__ import annotations

import errno
from _socket import AF_INET, AF_INET6

from ociruntime import hostos as os
from ociruntime.network import backends, cni, firewall
from ociruntime.network.addresses import Address, Interface, format_mac
from ociruntime.network.bridgedevice import ensure_bridge, sysctl
from ociruntime.network.bridgesettings import Settings
from ociruntime.network.cni import CniError
from ociruntime.network.conntrack import forget_flows
from ociruntime.network.firewall import FilteredBridge, Mapping, mappings_of
from ociruntime.network.invoke import call_plugin
from ociruntime.network.netlink import InNamespace, Netlink, NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.network.cni import PluginCall
    from ociruntime.network.files import Directory

    Json = dict[str, Any]

# Locally administered, and the four bytes of the IPv4 address: a new holder of an address has the
# device address that the neighbours know already.
MAC_PREFIX = b"\x02\x42"
ROUTE_OPTIONS = ("priority", "table", "scope", "mtu", "advmss")
DEFAULT = {AF_INET: "0.0.0.0/0", AF_INET6: "::/0"}


def add(request: PluginCall) -> Json:
    """Attach the container; the result. Raises ``CniError``, and then nothing is left."""
    settings = Settings(request)
    namespace = _open_namespace(request)
    try:
        record: Json = {
            "container": request.container,
            "device": request.device,
            "network": request.network,
            "bridge": settings.bridge,
            "mappings": [],
        }
        with settings.book as book:
            book.write(settings.veth, record)
        try:
            return _attach(request, settings, namespace, record)
        except BaseException:
            _detach(request, settings)
            raise
    except (NetlinkError, OSError) as error:
        raise CniError(cni.REFUSED, f"ociruntime-bridge: {error}") from None
    finally:
        os.close(namespace)


def delete(request: PluginCall) -> None:
    """Take back all that ADD made; what is not there is no error."""
    _detach(request, Settings(request))


def check(request: PluginCall) -> None:
    """Raise ``CniError`` unless the container is attached as ADD left it."""
    settings = Settings(request)
    record = settings.book.read(settings.veth)
    if record is None:
        raise CniError(cni.UNKNOWN_CONTAINER, f"{request.container} is not on {settings.bridge}")
    if settings.has_ipam:
        _ipam(request)
    wanted = {
        entry["address"]
        for entry in ((request.config.get("prevResult") or {}).get("ips") or record["ips"])
    }
    namespace = _open_namespace(request)
    try:
        with Netlink() as host, Netlink(namespace) as inside:
            bridge, veth = host.link(settings.bridge), host.link(settings.veth)
            device = inside.link(request.device)
            if bridge is None or veth is None or veth.master != bridge.index:
                raise CniError(cni.REFUSED, f"{settings.veth} is no port of {settings.bridge}")
            if device is None or not device.up:
                raise CniError(cni.REFUSED, f"the container has no device {request.device} up")
            found = {str(interface) for _, interface in inside.addresses(device.index)}
    finally:
        os.close(namespace)
    if not wanted <= found:
        missing = ", ".join(sorted(wanted - found))
        raise CniError(cni.REFUSED, f"{request.device} has lost the address {missing}")
    filter_ = backends.choose(settings.firewall)
    mappings = list(map(Mapping.parse, record["mappings"]))
    if filter_ and not filter_.has(settings.bridge, mappings):
        raise CniError(
            cni.REFUSED,
            f"rules of {settings.bridge} or a published port of {request.container} are gone from "
            "the packet filter",
            "somebody has emptied it; restart the container",
        )


def gc(request: PluginCall) -> None:
    """Detach every container of the network but those of ``cni.dev/valid-attachments``."""
    settings = Settings(request)
    valid = {
        (entry["containerID"], entry["ifname"])
        for entry in request.config.get("cni.dev/valid-attachments", [])
    }
    for name in settings.book.names("veth"):
        record = settings.book.read(name)
        if record is None or record["network"] != request.network:
            continue
        if (record["container"], record["device"]) not in valid:
            _remove(settings, name, record)
    if settings.has_ipam:
        _ipam(request)


def status(request: PluginCall) -> None:
    """Raise ``CniError`` when an ADD would fail for want of a program or an address."""
    backends.choose(Settings(request).firewall)
    if request.config.get("ipam"):
        _ipam(request)


def _attach(request: PluginCall, settings: Settings, namespace: int, record: Json) -> Json:
    result = _ipam(request) if settings.has_ipam else {}
    interfaces = [Interface.parse(entry["address"]) for entry in result.get("ips", [])]
    gateways = _gateways(settings, result, interfaces)
    record["ips"] = result.get("ips", [])
    mac = settings.mac or _mac_for(interfaces)
    with settings.book as book, Netlink() as host:
        bridge, is_new = ensure_bridge(host, settings, gateways)
        try:
            _connect(request, settings, namespace, host, bridge.index, mac)
            with Netlink(namespace) as inside:
                device = _configure(request, inside, namespace, interfaces, result)
            _publish(request, settings, record, interfaces, book, is_new=is_new)
        except BaseException:
            if is_new:
                host.remove(settings.bridge)
            raise
        veth = host.link(settings.veth)
    return _result(request, settings, result, bridge.mac, veth.mac if veth else b"", device)


def _connect(
    request: PluginCall, settings: Settings, namespace: int, host: Netlink, bridge: int, mac: bytes
) -> None:
    veth = settings.veth
    host.remove(veth)  # what a killed ADD of the same container left
    try:
        host.add_veth(veth, request.device, namespace, settings.mtu, mac, bridge)
    except NetlinkError as error:
        if error.number != errno.EEXIST:
            raise
        raise CniError(
            cni.REFUSED, f"the container has a device {request.device} already"
        ) from None
    # A container must not configure the host by router advertisements (CVE-2020-10749).
    sysctl(f"ipv6/conf/{veth}/accept_ra", "0", optional=True)
    link = host.link(veth)
    assert link is not None
    if settings.hairpin:
        host.set_hairpin(link.index, veth)
    host.set_up(link.index, veth)


def _configure(
    request: PluginCall, inside: Netlink, namespace: int, interfaces: list[Interface], result: Json
) -> bytes:
    """Addresses and routes in the container; its device's MAC."""
    name = request.device
    device = inside.link(name)
    loopback = inside.link("lo")
    if device is None or loopback is None:
        raise CniError(cni.REFUSED, f"the container's device {name} has vanished")
    if any(interface.family == AF_INET6 for interface in interfaces):
        with InNamespace(namespace):
            sysctl(f"ipv6/conf/{name}/disable_ipv6", "0")
            sysctl(f"ipv6/conf/{name}/accept_ra", "0", optional=True)
            sysctl(f"ipv6/conf/{name}/accept_dad", "0", optional=True)
    inside.set_up(loopback.index, "lo")
    inside.set_up(device.index, name)
    for interface in interfaces:
        inside.add_address(device.index, interface, name)
    gateways = [Address.parse(e["gateway"]) for e in result.get("ips", []) if e.get("gateway")]
    for route in result.get("routes", []):
        destination = Interface.parse(route["dst"])
        via = Address.parse(route["gw"]) if route.get("gw") else None
        if via is None:
            via = next((g for g in gateways if g.family == destination.family), None)
        options = {key: value for key, value in route.items() if key in ROUTE_OPTIONS}
        try:
            inside.add_route(device.index, destination, via, name, options)
        except NetlinkError as error:
            # The first network that brings a route (two have a default one) has it, as with the
            # standard plugins.
            if error.number != errno.EEXIST:
                raise
    return device.mac


def _publish(
    request: PluginCall,
    settings: Settings,
    record: Json,
    interfaces: list[Interface],
    book: Directory,
    *,
    is_new: bool,
) -> None:
    """Set the packet filter. What is to be published is in the book before it is."""
    targets = [interface.address for interface in interfaces]
    mappings = mappings_of(request.runtime("portMappings"), targets)
    _check_collisions(book, settings.veth, mappings)
    filter_ = backends.choose(settings.firewall)
    record["mappings"] = [mapping.document() for mapping in mappings]
    record["isolated"], record["masquerade"] = settings.isolated, settings.masquerade
    book.write(settings.veth, record)
    if filter_ is None:
        if mappings:
            raise CniError(cni.BAD_CONFIG, 'ports cannot be published with "firewall": "none"')
        return
    if any(mapping.is_v4 for mapping in mappings):
        # Lets 127.0.0.1 of the host lead into the bridge; nothing on the bridge gets to 127.0.0.1,
        # the packet filter sees to that (CVE-2020-8558).
        sysctl(f"ipv4/conf/{settings.bridge}/route_localnet", "1")
    subnets = [interface.network for interface in interfaces]
    link = FilteredBridge(
        settings.bridge, subnets, masquerade=settings.masquerade, isolated=settings.isolated
    )
    try:
        filter_.connect(link, mappings)
    except CniError:
        record["mappings"] = []
        book.write(settings.veth, record)
        raise
    with Netlink() as host:
        _warn(forget_flows(host, mappings))
    if is_new:
        for warning in filter_.admit(settings.bridge):
            _warn(warning)


def _warn(text: str) -> None:
    if text:
        os.write(2, f"ociruntime-bridge: warning: {text}\n".encode())


def _check_collisions(book: Directory, own: str, mappings: list[Mapping]) -> None:
    taken: list[tuple[Mapping, str]] = []
    if mappings:
        for name in book.names("veth"):
            record = book.read(name) if name != own else None
            if record:
                held = map(Mapping.parse, record["mappings"])
                taken += [(mapping, record["container"]) for mapping in held]
    for number, mapping in enumerate(mappings):
        for other, container in taken:
            if mapping.collides(other):
                raise CniError(
                    cni.PORT_TAKEN,
                    f"port {mapping} is published already, by {container} as {other}",
                    "publish another port, or delete that container (`ociruntime net gc` if it "
                    "is dead)",
                )
        if any(mapping.collides(other) for other in mappings[:number]):
            raise CniError(cni.BAD_CONFIG, f"port {mapping} is to be published twice")
        firewall.check_free(mapping)


def _detach(request: PluginCall, settings: Settings) -> None:
    record = settings.book.read(settings.veth)
    if settings.has_ipam:
        _ipam(_as_delete(request))
    _remove(settings, settings.veth, record)


def _remove(settings: Settings, veth: str, record: Json | None) -> None:
    with settings.book as book:
        mappings = list(map(Mapping.parse, record["mappings"])) if record else []
        if mappings:
            filter_ = backends.choose(settings.firewall)
            if filter_:
                filter_.disconnect(mappings)
        with Netlink() as host:
            _warn(forget_flows(host, mappings))
            host.remove(veth)
        book.remove(veth)


def _as_delete(request: PluginCall) -> PluginCall:
    undo = request.with_config(request.config)
    undo.command = "DEL"
    return undo


def _ipam(request: PluginCall) -> Json:
    """Call the ipam plugin with the command and the configuration of this call."""
    kind = request.config["ipam"].get("type")
    if not isinstance(kind, str):
        raise CniError(cni.BAD_CONFIG, f"network {request.network}: ipam has no type")
    return call_plugin(kind, request)


def _gateways(settings: Settings, result: Json, interfaces: list[Interface]) -> list[Interface]:
    """The bridge's own addresses; adds the default route when the bridge is to be one."""
    gateways = []
    for entry, interface in zip(result.get("ips", []), interfaces, strict=True):
        if not settings.gateway:
            break
        if not entry.get("gateway"):
            entry["gateway"] = str(Address(interface.family, interface.first + 1))
        gateways.append(Interface(Address.parse(entry["gateway"]), interface.prefix))
    if settings.default_gateway:
        routes = result.setdefault("routes", [])
        for gateway in gateways:
            default = DEFAULT[gateway.family]
            if all(route["dst"] != default for route in routes):
                routes.append({"dst": default, "gw": str(gateway.address)})
    return gateways


def _mac_for(interfaces: list[Interface]) -> bytes:
    for interface in interfaces:
        if interface.family == AF_INET:
            return MAC_PREFIX + interface.address.packed
    return b""


def _result(
    request: PluginCall, settings: Settings, ipam: Json, bridge: bytes, veth: bytes, device: bytes
) -> Json:
    return {
        "interfaces": [
            {"name": settings.bridge, "mac": format_mac(bridge)},
            {"name": settings.veth, "mac": format_mac(veth)},
            {"name": request.device, "mac": format_mac(device), "sandbox": request.netns},
        ],
        "ips": [entry | {"interface": 2} for entry in ipam.get("ips", [])],
        "routes": ipam.get("routes", []),
        "dns": request.config.get("dns") or ipam.get("dns", {}),
    }


def _open_namespace(request: PluginCall) -> int:
    try:
        return os.open(request.netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CniError(
            cni.UNKNOWN_CONTAINER,
            f"network namespace {request.netns!a}: {error.strerror}",
            "has the container ended?",
        ) from None

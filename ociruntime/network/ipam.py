"""The plugin ociruntime-ipam: addresses out of ranges, each given out once.

Configuration (``ipam`` of another plugin's), as the standard plugin host-local has it: ``ranges``
(lists of alternatives, one address is given out of each), or ``subnet``, ``rangeStart``,
``rangeEnd`` and ``gateway`` of a single one; ``routes``, ``dns``, ``resolvConf``, ``dataDir``.
A certain address can be asked for by the capability ``ips``, or by ``IP=`` in CNI_ARGS.

The leases of a network are one file. It is written, under a lock, before the address is told to
anybody, so no address is held twice; a lease whose network namespace is gone is taken back when
it is in the way.
"""

from __future__ import annotations

from _socket import AF_INET6

from ociruntime import hostos as os
from ociruntime.bundle import read_file
from ociruntime.errors import SpecError
from ociruntime.kernel.pids import is_alive, start_time
from ociruntime.network import cni
from ociruntime.network.addresses import Address, AddressError, Interface
from ociruntime.network.cni import CniError
from ociruntime.network.files import STATE_DIRECTORY, Directory
from ociruntime.network.forms import check_plugin
from ociruntime.network.netlink import is_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.network.cni import PluginCall

    Json = dict[str, Any]


class Range:
    """Addresses from ``first`` to ``last`` of a ``subnet``, without that of the ``gateway``."""

    __slots__ = ("first", "gateway", "last", "subnet")

    def __init__(self, config: Json) -> None:
        try:
            self.subnet = Interface.parse(_text(config, "subnet"))
            # The subnet's own number and, in IPv4, the one for all of its hosts are no address.
            lowest = self.subnet.first + 1
            highest = self.subnet.last - (0 if self.subnet.family == AF_INET6 else 1)
            if highest - lowest < 1:
                raise AddressError(
                    f"the subnet {self.subnet.network} is too small for a gateway and "
                    "a container; use a shorter prefix"
                )
            # It may be outside: a router that is reached otherwise.
            gateway = config.get("gateway")
            self.gateway = Address.parse(gateway) if gateway else self._address(lowest)
            if self.gateway.family != self.subnet.family:
                raise AddressError(f"the gateway {gateway} is of another family than the subnet")
            start, end = config.get("rangeStart"), config.get("rangeEnd")
            given = [Address.parse(text) for text in (start, end) if text]
            self.first = Address.parse(start).number if start else lowest
            self.last = Address.parse(end).number if end else highest
        except AddressError as error:
            raise CniError(cni.BAD_CONFIG, f"ipam: {error}") from None
        inside = all(map(self.subnet.holds, given))
        if not inside or not lowest <= self.first <= self.last <= highest:
            raise CniError(
                cni.BAD_CONFIG,
                f"ipam: {self} is no range of addresses in {self.subnet.network}",
                "rangeStart and rangeEnd are addresses of the subnet, in this order",
            )

    @property
    def bounds(self) -> tuple[Address, Address]:
        """The first and the last address."""
        return self._address(self.first), self._address(self.last)

    def holds(self, address: Address) -> bool:
        """Whether ``address`` may be given out of this range."""
        inside = self.first <= address.number <= self.last
        return inside and address.family == self.subnet.family and address != self.gateway

    def overlaps(self, other: Range) -> bool:
        """Whether an address is in both."""
        same = self.subnet.family == other.subnet.family
        return same and self.first <= other.last and other.first <= self.last

    def after(self, last: str, taken: dict[str, Json]) -> Address | None:
        """The next free address behind ``last``, which was given out most recently; None when all
        are ``taken``.

        Addresses return as late as possible: others may still know their former holder.
        """
        start = self.first
        if last:
            previous = Address.parse(last)
            if self.subnet.holds(previous) and self.first <= previous.number < self.last:
                start = previous.number + 1
        count = min(self.last - self.first + 1, len(taken) + 2)
        size = self.last - self.first + 1
        for step in range(count):
            number = self.first + (start - self.first + step) % size
            address = self._address(number)
            if address != self.gateway and str(address) not in taken:
                return address
        return None

    def _address(self, number: int) -> Address:
        return Address(self.subnet.family, number)

    def __str__(self) -> str:
        first, last = self.bounds
        return f"{first} to {last}"


def add(request: PluginCall) -> Json:
    """One address out of each list of ranges; raises ``CniError``, and then none is taken."""
    config = _ipam(request)
    sets = _range_sets(config, request)
    wanted = _requested(request)
    directory = _directory(config)
    with directory:
        book = directory.read(request.network) or {"leases": {}, "last": {}}
        leases: dict[str, Json] = book["leases"]
        # An ADD whose end nobody saw is repeated: it has what it had.
        held = [Address.parse(text) for text, lease in leases.items() if _is_of(lease, request)]
        _release(leases, request.container, request.device)
        _prefer(held, sets, wanted)
        found = [_take(number, ranges, wanted, book, request) for number, ranges in enumerate(sets)]
        if wanted:
            text = ", ".join(map(str, wanted))
            raise CniError(cni.BAD_CONFIG, f"network {request.network} has no range with {text}")
        for _, address in found:
            leases[str(address)] = _lease(request)
        directory.write(request.network, book)
    ips = [
        {"address": f"{address}/{chosen.subnet.prefix}", "gateway": str(chosen.gateway)}
        for chosen, address in found
    ]
    return {"ips": ips, "routes": config.get("routes", []), "dns": _dns(config)}


def delete(request: PluginCall) -> None:
    """Give back what the container holds; nothing held is no error."""
    config = _ipam(request)
    directory = _directory(config)
    with directory:
        book = directory.read(request.network)
        if book and _release(book["leases"], request.container, request.device):
            directory.write(request.network, book)


def check(request: PluginCall) -> None:
    """Raise ``CniError`` unless the container holds what it was given."""
    book = _directory(_ipam(request)).read(request.network) or {"leases": {}}
    held = [lease for lease in book["leases"].values() if _is_of(lease, request)]
    if not held:
        raise CniError(
            cni.UNKNOWN_CONTAINER, f"{request.container} has no lease of {request.network}"
        )


def gc(request: PluginCall) -> None:
    """Take back every lease but those of ``cni.dev/valid-attachments``."""
    valid = {
        (entry["containerID"], entry["ifname"])
        for entry in request.config.get("cni.dev/valid-attachments", [])
    }
    directory = _directory(_ipam(request))
    with directory:
        book = directory.read(request.network)
        if book is None:
            return
        kept = {
            address: lease
            for address, lease in book["leases"].items()
            if (lease["container"], lease["device"]) in valid
        }
        directory.write(request.network, book | {"leases": kept})


def status(request: PluginCall) -> None:
    """Raise ``CniError`` when an ADD would fail: no address is left."""
    config = _ipam(request)
    sets = _range_sets(config, request)
    book = _directory(config).read(request.network) or {"leases": {}}
    used = {address: lease for address, lease in book["leases"].items() if not _is_stale(lease)}
    for ranges in sets:
        if not any(entry.after("", used) for entry in ranges):
            raise _exhausted(request.network, ranges)


def leases_of(data_directory: str, network: str) -> dict[str, Json]:
    """address -> lease, for people."""
    book = Directory(data_directory).read(network) or {"leases": {}}
    found: dict[str, Json] = book["leases"]
    return found


def _take(
    number: int, ranges: list[Range], wanted: list[Address], book: Json, request: PluginCall
) -> tuple[Range, Address]:
    """(range, address) for the range list ``number``; a wanted address is taken off the list."""
    leases: dict[str, Json] = book["leases"]
    for address in wanted:
        for candidate in ranges:
            if not candidate.holds(address):
                continue
            holder = leases.get(str(address))
            if holder and not _is_stale(holder):
                raise CniError(
                    cni.NO_ADDRESS,
                    f"address {address} of network {request.network} is held by "
                    f"{holder['container']}",
                    "ask for another one",
                )
            wanted.remove(address)
            return candidate, address
    for attempt in range(2):
        for candidate in ranges:
            chosen = candidate.after(book["last"].get(str(number), ""), leases)
            if chosen is not None:
                book["last"][str(number)] = str(chosen)
                return candidate, chosen
        if attempt == 0:
            for text in [text for text, lease in leases.items() if _is_stale(lease)]:
                del leases[text]
    raise _exhausted(request.network, ranges)


def _prefer(held: list[Address], sets: list[list[Range]], wanted: list[Address]) -> None:
    """Want the addresses ``held`` from every list of ranges that nothing is wanted of."""
    for ranges in sets:
        if not any(entry.holds(address) for entry in ranges for address in wanted):
            wanted += [a for a in held if any(entry.holds(a) for entry in ranges)][:1]


def _exhausted(network: str, ranges: list[Range]) -> CniError:
    text = ", ".join(map(str, ranges))
    return CniError(
        cni.NO_ADDRESS,
        f"network {network} has no free address in {text}",
        "delete containers, run `ociruntime net gc`, or make the range larger",
    )


def _lease(request: PluginCall) -> Json:
    pid = _pid(request.netns)
    return {
        "container": request.container,
        "device": request.device,
        "netns": request.netns,
        "started": start_time(pid) if pid else 0,
    }


def _is_of(lease: Json, request: PluginCall) -> bool:
    return (lease["container"], lease["device"]) == (request.container, request.device)


def _release(leases: dict[str, Json], container: str, device: str) -> bool:
    held = [
        address
        for address, lease in leases.items()
        if (lease["container"], lease["device"]) == (container, device)
    ]
    for address in held:
        del leases[address]
    return bool(held)


def _is_stale(lease: Json) -> bool:
    """Whether the network namespace that the address was given to is gone for certain."""
    path = lease["netns"]
    pid = _pid(path)
    if pid:
        return not is_alive(pid, lease["started"])
    return bool(path) and not is_namespace(path)


def _pid(path: str) -> int:
    parts = path.split("/")
    if len(parts) == 5 and parts[1] == "proc" and parts[2].isdecimal():
        return int(parts[2])
    return 0


def _ipam(request: PluginCall) -> Json:
    check_plugin({"ipam": {"type": "ociruntime-ipam"}} | request.config)
    config = request.config.get("ipam")
    if not isinstance(config, dict):
        raise CniError(cni.BAD_CONFIG, f"network {request.network} has no ipam")
    return config


def _directory(config: Json) -> Directory:
    return Directory(config.get("dataDir") or os.path.join(STATE_DIRECTORY, "leases"))


def _range_sets(config: Json, request: PluginCall) -> list[list[Range]]:
    """What the caller gives by the capability ``ipRanges``, the single range, then ``ranges``."""
    sets = list(config.get("ranges") or [])
    if "subnet" in config:
        sets.insert(0, [config])
    sets = list(request.runtime("ipRanges") or []) + sets
    if not all(sets) or not sets:
        raise CniError(
            cni.BAD_CONFIG,
            "ipam has no ranges",
            'add "ranges": [[{"subnet": "10.87.0.0/16"}]]',
        )
    made = [[Range(entry) for entry in ranges] for ranges in sets]
    _check_ranges(made)
    return made


def _check_ranges(sets: list[list[Range]]) -> None:
    """Raise ``CniError`` for a list of two families, and for an address that two ranges have: its
    holder in one is not known in the other.
    """
    seen: list[Range] = []
    for number, ranges in enumerate(sets):
        if len({entry.subnet.family for entry in ranges}) > 1:
            raise CniError(
                cni.BAD_CONFIG,
                f"ipam: ranges[{number}] has IPv4 and IPv6, of which a container would get one",
                "make a list of each",
            )
        for entry in ranges:
            for other in seen:
                if entry.overlaps(other):
                    raise CniError(cni.BAD_CONFIG, f"ipam: {entry} overlaps with {other}")
            seen.append(entry)


def _requested(request: PluginCall) -> list[Address]:
    texts = list(request.runtime("ips") or [])
    texts += request.config.get("args", {}).get("cni", {}).get("ips", [])
    for part in request.arguments.split(";"):
        name, _, value = part.partition("=")
        if name == "IP" and value:
            texts += value.split(",")
    try:
        return [Address.parse(text.partition("/")[0]) for text in texts]
    except AddressError as error:
        raise CniError(cni.BAD_CONFIG, f"a requested address: {error}") from None


def _dns(config: Json) -> Json:
    """``dns`` of the configuration, or what its ``resolvConf`` says (resolv.conf(5))."""
    found: Json = dict(config.get("dns") or {})
    path = config.get("resolvConf")
    if not path:
        return found
    try:
        text = read_file(path).decode("utf-8", "replace")
    except SpecError as error:
        raise CniError(cni.BAD_CONFIG, f"resolvConf {error}") from None
    lines = [line.split() for line in text.splitlines()]
    for words in lines:
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            found.setdefault("nameservers", []).append(words[1])
        elif words[0] == "domain":
            found["domain"] = words[1]
        elif words[0] in ("search", "options"):
            found[words[0]] = words[1:]
    return found


def _text(config: Json, name: str) -> str:
    value = config.get(name)
    if not isinstance(value, str):
        raise CniError(cni.BAD_CONFIG, f"ipam: a range has no {name}")
    return value

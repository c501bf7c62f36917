"""Published ports as people write them: [IP:]HOST:CONTAINER[/tcp|udp|sctp]."""

from __future__ import annotations

from ociruntime.errors import UsageError
from ociruntime.network.addresses import Address, AddressError
from ociruntime.network.firewall import PORT_LAST, PROTOCOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

FORM = (
    "write [IP:]HOST:CONTAINER[/udp], as 8080:80 or 127.0.0.1:5353:53/udp or [2001:db8::1]:8080:80"
)


def parse_publish(text: str) -> Json:
    """One entry of the capability ``portMappings``. Raises ``UsageError``."""
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise UsageError(f"--publish {text}: protocol {protocol!a}; {FORM}")
    host, colon, port = ports.rpartition(":")
    address, _, host = host.rpartition(":")
    if not colon or not host:
        raise UsageError(f"--publish {text}: {FORM}")
    entry: Json = {
        "hostPort": _port(text, host),
        "containerPort": _port(text, port),
        "protocol": protocol,
    }
    if address:
        try:
            entry["hostIP"] = str(Address.parse(address.removeprefix("[").removesuffix("]")))
        except AddressError as error:
            raise UsageError(f"--publish {text}: {error}; {FORM}") from None
    return entry


def _port(text: str, word: str) -> int:
    if word.isascii() and word.isdecimal() and 0 < int(word) <= PORT_LAST:
        return int(word)
    raise UsageError(f"--publish {text}: {word!a} is no port from 1 to {PORT_LAST}; {FORM}")

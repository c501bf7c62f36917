"""IPv4 and IPv6 addresses and subnets as numbers (RFC 4632, RFC 4291).

The standard library's ipaddress costs 3 ms to import, as much as connecting a container.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

BITS = {AF_INET: 32, AF_INET6: 128}


class AddressError(ValueError):
    """The text is no address or no subnet; the message says which."""


class Address:
    """One address: ``family`` (AF_INET, AF_INET6) and ``number``."""

    __slots__ = ("family", "number")

    def __init__(self, family: int, number: int) -> None:
        self.family = family
        self.number = number

    @classmethod
    def parse(cls, text: str) -> Self:
        """``text`` as inet_pton(3) takes it; raises ``AddressError``."""
        family = AF_INET6 if ":" in text else AF_INET
        try:
            return cls(family, int.from_bytes(inet_pton(family, text), "big"))
        except (OSError, ValueError):
            raise AddressError(f"{text!a} is no IP address") from None

    @property
    def packed(self) -> bytes:
        """In network byte order, 4 or 16 bytes."""
        return self.number.to_bytes(BITS[self.family] // 8, "big")

    def __str__(self) -> str:
        return inet_ntop(self.family, self.packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[int, int]:
        return self.family, self.number


class Interface:
    """An address with the length of its subnet's prefix (bits): ``10.87.0.2/16``."""

    __slots__ = ("address", "prefix")

    def __init__(self, address: Address, prefix: int) -> None:
        self.address = address
        self.prefix = prefix

    @classmethod
    def parse(cls, text: str) -> Self:
        """``ADDRESS/PREFIX``; raises ``AddressError``."""
        before, slash, after = text.partition("/")
        address = Address.parse(before)
        if not (slash and after.isascii() and after.isdecimal()):
            raise AddressError(f"{text!a} is no subnet; write ADDRESS/PREFIX")
        prefix = int(after)
        if prefix > BITS[address.family]:
            raise AddressError(f"{text!a}: the prefix has more bits than the address")
        return cls(address, prefix)

    @property
    def family(self) -> int:
        return self.address.family

    @property
    def first(self) -> int:
        """The subnet's own number: all host bits 0."""
        host_bits = BITS[self.family] - self.prefix
        return self.address.number >> host_bits << host_bits

    @property
    def last(self) -> int:
        """The number with all host bits 1."""
        return self.first | ((1 << (BITS[self.family] - self.prefix)) - 1)

    @property
    def network(self) -> str:
        """The subnet as text."""
        return f"{Address(self.family, self.first)}/{self.prefix}"

    def holds(self, address: Address) -> bool:
        """Whether ``address`` is of this subnet."""
        return address.family == self.family and self.first <= address.number <= self.last

    def overlaps(self, other: Interface) -> bool:
        """Whether the two subnets have an address in common."""
        return self.family == other.family and self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


def parse_mac(text: str) -> bytes:
    """Six bytes of ``02:42:0a:57:00:02``; raises ``AddressError``."""
    parts = text.split(":")
    try:
        raw = bytes(int(part, 16) for part in parts if len(part) == 2)
    except ValueError:
        raw = b""
    if len(raw) != 6 or len(parts) != 6:
        raise AddressError(f"{text!a} is no MAC address; write six bytes as 02:42:0a:57:00:02")
    if raw[0] & 1:
        raise AddressError(f"{text!a} is a multicast address, which no device can have")
    return raw


def format_mac(raw: bytes) -> str:
    """``02:42:0a:57:00:02``."""
    return raw.hex(":")

"""What is asked of the host's packet filter, whichever program it is set with.

A *link* is one bridge: whether its packets leave the host under the host's address, whether others
are kept out. A *mapping* publishes one port of a container.
"""

from __future__ import annotations

from _socket import AF_INET

from ociruntime.errors import OciError
from ociruntime.network import cni
from ociruntime.network.addresses import Address, AddressError
from ociruntime.network.cni import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    Json = dict[str, Any]

    class Firewall(Protocol):
        """One way to set the packet filter. Methods raise ``CniError``."""

        def connect(self, link: FilteredBridge, mappings: list[Mapping]) -> None:
            """Let ``link`` through and publish ``mappings``, all or none."""

        def admit(self, bridge: str) -> list[str]:
            """Open the filters of others for a new bridge, where that is possible; warnings where
            it is not.
            """

        def disconnect(self, mappings: list[Mapping]) -> None:
            """Take back ``mappings``; what is not there is no error."""

        def forget(self, bridge: str) -> None:
            """Take back what was done for the link itself."""

        def has(self, bridge: str, mappings: list[Mapping]) -> bool:
            """Whether the rules for ``bridge`` and all of ``mappings`` are in place."""

        def rules(self) -> str:
            """Everything that is in place, for people."""


PATH = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"
PROTOCOLS = ("tcp", "udp", "sctp")
PORT_LAST = 65535


class FilteredBridge:
    """A bridge: ``bridge`` its name, ``subnets`` those of its containers, ``masquerade`` and
    ``isolated`` as in the configuration of ociruntime-bridge.
    """

    __slots__ = ("bridge", "isolated", "masquerade", "subnets")

    def __init__(
        self, bridge: str, subnets: list[str], *, masquerade: bool, isolated: bool
    ) -> None:
        self.bridge = bridge
        self.subnets = subnets
        self.masquerade = masquerade
        self.isolated = isolated


class Mapping:
    """``host_port`` of the host's address ``host`` (None: of every address) leads to ``port`` of
    the container at ``target``, for ``protocol``.
    """

    __slots__ = ("host", "host_port", "port", "protocol", "target")

    def __init__(
        self, host: Address | None, host_port: int, protocol: str, target: Address, port: int
    ) -> None:
        self.host = host
        self.host_port = host_port
        self.protocol = protocol
        self.target = target
        self.port = port

    @property
    def is_v4(self) -> bool:
        return self.target.family == AF_INET

    def document(self) -> Json:
        """As JSON, for ``parse``."""
        return {
            "host": str(self.host) if self.host else "",
            "hostPort": self.host_port,
            "protocol": self.protocol,
            "target": str(self.target),
            "port": self.port,
        }

    @classmethod
    def parse(cls, document: Json) -> Mapping:
        """What ``document`` made."""
        host = Address.parse(document["host"]) if document["host"] else None
        target = Address.parse(document["target"])
        numbers = document["hostPort"], document["port"]
        return cls(host, numbers[0], document["protocol"], target, numbers[1])

    def collides(self, other: Mapping) -> bool:
        """Whether a packet could be meant for both."""
        same = (self.protocol, self.host_port) == (other.protocol, other.host_port)
        families = self.is_v4 == other.is_v4
        return same and families and (None in (self.host, other.host) or self.host == other.host)

    def __str__(self) -> str:
        host = "" if self.host is None else f"{self.host}:"
        if self.host is not None and not self.is_v4:
            host = f"[{self.host}]:"
        return f"{host}{self.host_port}/{self.protocol}"


def mappings_of(entries: object, targets: list[Address]) -> list[Mapping]:
    """The mappings that the capability ``portMappings`` asks for, for each address of the container
    of the right family. Raises ``CniError``.
    """
    found = []
    for entry in entries if isinstance(entries, list) else []:
        host_port, port = entry.get("hostPort"), entry.get("containerPort")
        protocol = str(entry.get("protocol") or "tcp").lower()
        if host_port == 0:
            continue  # exposed, not published
        for name, number in (("hostPort", host_port), ("containerPort", port)):
            if type(number) is not int or not 0 < number <= PORT_LAST:
                raise CniError(cni.BAD_CONFIG, f"portMappings: {name} {number!a} is no port")
        if protocol not in PROTOCOLS:
            words = " or ".join(PROTOCOLS)
            raise CniError(cni.BAD_CONFIG, f"portMappings: protocol {protocol!a}; use {words}")
        try:
            host = Address.parse(entry["hostIP"]) if entry.get("hostIP") else None
        except AddressError as error:
            raise CniError(cni.BAD_CONFIG, f"portMappings: hostIP {error}") from None
        families = [host.family] if host else [target.family for target in targets]
        fitting = [target for target in targets if target.family in families]
        if not fitting:
            raise CniError(
                cni.BAD_CONFIG,
                f"portMappings: {entry.get('hostIP')}:{host_port} cannot be published: the "
                "container has no address of this family",
            )
        if host and host.number == 0:
            host = None
        if host and str(host) == "::1":
            raise CniError(
                cni.BAD_CONFIG,
                f"portMappings: [::1]:{host_port} cannot be published: the kernel routes nothing "
                "from ::1 to a container",
                "publish at 127.0.0.1",
            )
        found += [Mapping(host, host_port, protocol, target, port) for target in fitting]
    return found


def check_free(mapping: Mapping) -> None:
    """Raise ``CniError`` when a program of the host listens where ``mapping`` is to be."""
    from _socket import (
        AF_INET6,
        IPPROTO_IPV6,
        IPV6_V6ONLY,
        SO_REUSEADDR,
        SOCK_DGRAM,
        SOCK_STREAM,
        SOL_SOCKET,
        socket,
    )

    if mapping.protocol == "sctp":
        return
    family = AF_INET if mapping.is_v4 else AF_INET6
    kind = SOCK_STREAM if mapping.protocol == "tcp" else SOCK_DGRAM
    probe = socket(family, kind)
    try:
        if kind == SOCK_STREAM:
            # Connections that have ended must not count, listening sockets still do (socket(7)).
            probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        if family == AF_INET6:
            probe.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
        host = "" if mapping.host is None else str(mapping.host)
        probe.bind((host or ("0.0.0.0" if mapping.is_v4 else "::"), mapping.host_port))  # noqa: S104
    except OSError as error:
        raise CniError(
            cni.PORT_TAKEN,
            f"port {mapping} cannot be published: {error.strerror}",
            "a program of the host uses it (see `ss -lntup`), or the host lacks the address; "
            "publish another one",
        ) from None
    finally:
        probe.close()


class ProgramError(OciError):
    """A program that sets the packet filter failed; ``said`` is what it printed."""

    def __init__(self, program: str, said: str) -> None:
        super().__init__(f"{program}: {said}")
        self.said = said

"""Which of the host's programs sets the packet filter."""

from __future__ import annotations

from ociruntime.network import cni
from ociruntime.network.cni import CniError
from ociruntime.network.execute import find_program
from ociruntime.network.firewall import PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.network.firewall import Firewall

BACKENDS = {"nftables": "nft", "iptables": "iptables-restore"}


def choose(wanted: str) -> Firewall | None:
    """The way named ``wanted``: nftables, iptables, none, or empty for the first this host has.

    Raises ``CniError`` when its program is not installed.
    """
    if wanted == "none":
        return None
    if wanted and wanted not in BACKENDS:
        raise CniError(cni.BAD_CONFIG, f"firewall {wanted!a}: use nftables, iptables or none")
    for name in [wanted] if wanted else BACKENDS:
        program = find_program(BACKENDS[name], PATH)
        if program is None:
            continue
        if name == "nftables":
            from ociruntime.network.nft import Nftables

            return Nftables(program)
        from ociruntime.network.iptables import Iptables

        return Iptables()
    missing = BACKENDS[wanted] if wanted else "neither nft nor iptables-restore"
    raise CniError(
        cni.NOT_AVAILABLE,
        f"{missing} is {'not ' if wanted else ''}installed",
        'install Debian\'s package nftables, or set "firewall": "none" and publish no ports',
    )


def installed() -> list[Firewall]:
    """Every way to set the packet filter that this host has."""
    return [
        found
        for name, program in BACKENDS.items()
        if find_program(program, PATH) and (found := choose(name))
    ]

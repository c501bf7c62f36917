"""The packet filter by nftables: one table of our own, whose rules never change.

What changes are elements of its sets and maps: one for each bridge, one for each published port.
So nobody's rules are parsed or searched, a container costs one transaction of nft(8), and that
takes 2 ms. docs/networking.md shows the way of a packet through it.
"""

from __future__ import annotations

from ociruntime.bundle import parse_object
from ociruntime.network import cni
from ociruntime.network.cni import CniError
from ociruntime.network.execute import execute
from ociruntime.network.firewall import PATH, ProgramError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.network.firewall import FilteredBridge, Mapping

TABLE = "inet ociruntime"
# Rules of ours in tables of others carry this comment and the bridge's name.
COMMENT = "ociruntime"

# What goes to ::1 is left alone, since nothing that comes from there can be routed elsewhere: a
# client finds nobody at once, and tries 127.0.0.1.
#
# `add` of what is there already changes nothing, and a chain is emptied before it is filled: so the
# text can be loaded at any time, and by several at once.
RULESET = """
add table inet ociruntime
add map inet ociruntime publish4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet ociruntime publish4_at {
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet ociruntime publish6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
add map inet ociruntime publish6_at {
    type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
add set inet ociruntime bridges { type ifname; }
add set inet ociruntime isolated { type ifname; }
add set inet ociruntime hidden { type ifname; }
add set inet ociruntime within { type ifname . ifname; }
add set inet ociruntime subnets4 { type ifname . ipv4_addr; flags interval; }
add set inet ociruntime subnets6 { type ifname . ipv6_addr; flags interval; }
add chain inet ociruntime publish
flush chain inet ociruntime publish
add rule inet ociruntime publish dnat ip to ip daddr . meta l4proto . th dport map @publish4_at
add rule inet ociruntime publish dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6_at
add rule inet ociruntime publish dnat ip to meta l4proto . th dport map @publish4
add rule inet ociruntime publish dnat ip6 to meta l4proto . th dport map @publish6
add chain inet ociruntime guard { type filter hook prerouting priority raw; }
flush chain inet ociruntime guard
add rule inet ociruntime guard iifname @bridges ip daddr 127.0.0.0/8 drop
add chain inet ociruntime arriving { type nat hook prerouting priority dstnat; }
flush chain inet ociruntime arriving
add rule inet ociruntime arriving fib daddr type local jump publish
add chain inet ociruntime originating { type nat hook output priority -100; }
flush chain inet ociruntime originating
add rule inet ociruntime originating ip6 daddr ::1 return
add rule inet ociruntime originating fib daddr type local jump publish
add chain inet ociruntime passing { type filter hook forward priority filter; }
flush chain inet ociruntime passing
add rule inet ociruntime passing ct state established,related accept
add rule inet ociruntime passing ct status dnat accept
add rule inet ociruntime passing iifname . oifname @within accept
add rule inet ociruntime passing oifname @isolated drop
add chain inet ociruntime leaving { type nat hook postrouting priority srcnat; }
flush chain inet ociruntime leaving
add rule inet ociruntime leaving oifname . ip saddr @subnets4 ct status dnat masquerade
add rule inet ociruntime leaving oifname . ip6 saddr @subnets6 ct status dnat masquerade
add rule inet ociruntime leaving iifname . oifname @within return
add rule inet ociruntime leaving iifname @hidden masquerade
add rule inet ociruntime leaving oifname @bridges ip saddr 127.0.0.0/8 masquerade
"""
NO_TABLE = "No such file or directory"
EXISTS = "File exists"


class Nftables:
    """The packet filter, set by nft(8) at the path ``program``."""

    def __init__(self, program: str) -> None:
        self.program = program

    def connect(self, link: FilteredBridge, mappings: list[Mapping]) -> None:
        bridge = link.bridge
        lines = [
            f'add element {TABLE} bridges {{ "{bridge}" }}',
            f'add element {TABLE} within {{ "{bridge}" . "{bridge}" }}',
        ]
        if link.isolated:
            lines.append(f'add element {TABLE} isolated {{ "{bridge}" }}')
        if link.masquerade:
            lines.append(f'add element {TABLE} hidden {{ "{bridge}" }}')
        for subnet in link.subnets:
            name = "subnets6" if ":" in subnet else "subnets4"
            lines.append(f'add element {TABLE} {name} {{ "{bridge}" . {subnet} }}')
        lines += [f"create element {TABLE} {_element(mapping)}" for mapping in mappings]
        text = "\n".join(lines) + "\n"
        try:
            self._run(text)
        except ProgramError as error:
            if NO_TABLE not in error.said:
                raise _refused(error, mappings) from None
        else:
            return
        try:
            self._run(RULESET + text)
        except ProgramError as error:
            raise _refused(error, mappings) from None

    def admit(self, bridge: str) -> list[str]:
        """Of a chain that drops what it does not know, only the one of iptables' tables is opened:
        anybody else's is his own affair.
        """
        warnings = []
        for family, table, chain in self._closed_chains():
            if (table, chain) != ("filter", "FORWARD") or family not in ("ip", "ip6"):
                warnings.append(
                    f"the chain {chain} of table {family} {table} drops what it does not accept; "
                    f"if containers are cut off, let it accept packets from and to {bridge}"
                )
                continue
            where = f"{family} {table} {chain}"
            comment = f'comment "{COMMENT} {bridge}"'
            self._close(where, bridge)
            self._run(
                f'insert rule {where} oifname "{bridge}" counter accept {comment}\n'
                f'insert rule {where} iifname "{bridge}" counter accept {comment}\n'
            )
        return warnings

    def disconnect(self, mappings: list[Mapping]) -> None:
        for mapping in mappings:
            self._try(f"delete element {TABLE} {_element(mapping)}\n")

    def forget(self, bridge: str) -> None:
        for name in ("bridges", "isolated", "hidden", "within", "subnets4", "subnets6"):
            for element in self._elements(name):
                if bridge in element:
                    text = " . ".join(element)
                    self._try(f"delete element {TABLE} {name} {{ {text} }}\n")
        for family in ("ip", "ip6"):
            self._close(f"{family} filter FORWARD", bridge)
        if not self._elements("bridges"):
            self._try(f"delete table {TABLE}\n")

    def has(self, bridge: str, mappings: list[Mapping]) -> bool:
        wanted = [f'bridges {{ "{bridge}" }}', *map(_element, mappings)]
        for element in wanted:
            try:
                self._run(f"get element {TABLE} {element}\n")
            except ProgramError:
                return False
        return True

    def rules(self) -> str:
        try:
            return self._call(["list", "table", *TABLE.split()])
        except ProgramError:
            return ""

    def _closed_chains(self) -> list[tuple[str, str, str]]:
        """(family, table, chain) of everybody's base chains that drop forwarded packets."""
        return [
            (chain["family"], chain["table"], chain["name"])
            for chain in self._listed("list chains", "chain")
            if chain.get("hook") == "forward" and chain.get("policy") == "drop"
        ]

    def _close(self, where: str, bridge: str) -> None:
        """Remove our rules for ``bridge`` from the chain ``where``."""
        try:
            rules = self._listed(f"list chain {where}", "rule")
        except ProgramError as error:
            if NO_TABLE in error.said:
                return
            raise
        for rule in rules:
            if rule.get("comment") == f"{COMMENT} {bridge}":
                self._run(f"delete rule {where} handle {rule['handle']}\n")

    def _elements(self, name: str) -> list[list[str]]:
        """The elements of a set, each as its parts."""
        try:
            found = self._listed(f"list set {TABLE} {name}", "set")
        except ProgramError:
            return []
        entries = found[0].get("elem", []) if found else []
        return [
            [_part(part) for part in (entry["concat"] if isinstance(entry, dict) else [entry])]
            for entry in entries
        ]

    def _try(self, text: str) -> None:
        """Execute commands that remove; what is not there is no error. Raises ``CniError``."""
        try:
            self._run(text)
        except ProgramError as error:
            if NO_TABLE not in error.said:
                raise CniError(cni.REFUSED, str(error)) from None

    def _listed(self, command: str, kind: str) -> list[dict[str, Any]]:
        text = self._call(["-j", "-a", *command.split()])
        entries = parse_object(text.encode(), "nft")["nftables"]
        return [entry[kind] for entry in entries if kind in entry]

    def _run(self, text: str) -> None:
        """Execute commands as one transaction."""
        self._call(["-f", "-"], text)

    def _call(self, arguments: list[str], text: str = "") -> str:
        environment = {"PATH": PATH, "LC_ALL": "C"}
        done = execute([self.program, *arguments], environment, text.encode())
        if done.status:
            raise ProgramError("nft", done.errors.partition("\n")[0] or f"status {done.status}")
        return done.output.decode("utf-8", "replace")


def _part(value: Any) -> str:
    """A part of an element, as nft prints it in JSON, in the form that it reads."""
    if isinstance(value, dict):
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    return str(value)


def _element(mapping: Mapping) -> str:
    """``MAP { KEY : VALUE }`` of a published port."""
    name = "publish4" if mapping.is_v4 else "publish6"
    key = f"{mapping.protocol} . {mapping.host_port}"
    if mapping.host is not None:
        name, key = f"{name}_at", f"{mapping.host} . {key}"
    return f"{name} {{ {key} : {mapping.target} . {mapping.port} }}"


def _refused(error: ProgramError, mappings: list[Mapping]) -> CniError:
    if EXISTS in error.said:
        text = ", ".join(map(str, mappings))
        return CniError(
            cni.PORT_TAKEN,
            f"port {text} is published already",
            "`ociruntime net ls` shows by whom; `ociruntime net gc` removes what dead ones left",
        )
    return CniError(
        cni.REFUSED,
        f"the packet filter cannot be set: {error}",
        "the kernel needs nf_tables with nat and fib (CONFIG_NFT_NAT, CONFIG_NFT_MASQ, "
        "CONFIG_NFT_FIB_INET)",
    )

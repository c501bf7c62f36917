"""The packet filter by iptables(8) and ip6tables(8), for hosts without nft(8).

The same rules as in ``network.nft``, in chains of our own that the built-in ones jump to. Each rule
carries the bridge's name as a comment, by which it is found again. There is no transaction: a rule
is asked for before it is added, and what was added is taken back when one is refused.
"""

from __future__ import annotations

from ociruntime.network import cni
from ociruntime.network.cni import CniError
from ociruntime.network.execute import execute, find_program
from ociruntime.network.firewall import PATH, ProgramError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.network.firewall import FilteredBridge, Mapping

PUBLISH, LEAVING, PASSING = "OCIRUNTIME-PUBLISH", "OCIRUNTIME-LEAVING", "OCIRUNTIME-PASSING"
CHAINS = (("nat", PUBLISH), ("nat", LEAVING), ("filter", PASSING))
LOCAL = ["-m", "addrtype", "--dst-type", "LOCAL"]
STATE = ["-m", "conntrack", "--ctstate"]
PROGRAMS = {True: "iptables", False: "ip6tables"}
WAIT_SECONDS = "10"


class Iptables:
    """The packet filter, set by iptables and ip6tables."""

    def connect(self, link: FilteredBridge, mappings: list[Mapping]) -> None:
        families = {":" not in subnet for subnet in link.subnets}
        done: list[Mapping] = []
        try:
            for is_v4 in sorted(families, reverse=True):
                self._prepare(link, is_v4=is_v4)
            for mapping in mappings:
                self._ensure(mapping.is_v4, "nat", "-A", PUBLISH, _publish(mapping))
                done.append(mapping)
        except ProgramError as error:
            self.disconnect(done)
            raise CniError(cni.REFUSED, f"the packet filter cannot be set: {error}") from None

    def admit(self, bridge: str) -> list[str]:
        """Nothing is left to do: our chain comes first and accepts for good."""
        return []

    def disconnect(self, mappings: list[Mapping]) -> None:
        for mapping in mappings:
            rule = _publish(mapping)
            if self._has(mapping.is_v4, "nat", PUBLISH, rule):
                self._run(mapping.is_v4, "-t", "nat", "-D", PUBLISH, *rule)

    def forget(self, bridge: str) -> None:
        comment = _comment(bridge)[-1]
        for is_v4 in PROGRAMS:
            for table, chain in (*CHAINS, ("raw", "PREROUTING")):
                for words in self._rules(is_v4, table, chain):
                    if comment in words:
                        self._run(is_v4, "-t", table, "-D", *words[1:])
            if all(len(self._rules(is_v4, table, chain)) == 0 for table, chain in CHAINS):
                self._drop_chains(is_v4=is_v4)

    def has(self, bridge: str, mappings: list[Mapping]) -> bool:
        comment = _comment(bridge)[-1]
        if not any(comment in words for v4 in PROGRAMS for words in self._rules(v4, *CHAINS[-1])):
            return False
        return all(self._has(m.is_v4, "nat", PUBLISH, _publish(m)) for m in mappings)

    def rules(self) -> str:
        lines = []
        for is_v4, program in PROGRAMS.items():
            for table, chain in CHAINS:
                rules = self._rules(is_v4, table, chain)
                lines += [" ".join([program, "-t", table, *words]) for words in rules]
        return "\n".join(lines)

    def _prepare(self, link: FilteredBridge, *, is_v4: bool) -> None:
        """The chains, and the rules of one bridge."""
        for table, chain in CHAINS:
            if self._try(is_v4, "-t", table, "-n", "-L", chain):
                self._run(is_v4, "-t", table, "-N", chain)
        for table, builtin, match, chain in _jumps(is_v4=is_v4):
            self._ensure(is_v4, table, "-I", builtin, [*match, "-j", chain])
        bridge, comment = link.bridge, _comment(link.bridge)
        # Later ones stand above earlier ones: -I puts a rule in front.
        entering = [
            [*STATE, "RELATED,ESTABLISHED", "-j", "ACCEPT"],
            [*STATE, "DNAT", "-j", "ACCEPT"],
            ["-i", bridge, "-j", "ACCEPT"],
        ]
        if link.isolated:
            entering.append(["-j", "DROP"])
        for rule in reversed(entering):
            self._ensure(is_v4, "filter", "-I", PASSING, ["-o", bridge, *comment, *rule])
        self._ensure(is_v4, "filter", "-A", PASSING, ["-i", bridge, *comment, "-j", "ACCEPT"])
        if is_v4:
            guard = ["-i", bridge, "-d", "127.0.0.0/8", *comment, "-j", "DROP"]
            self._ensure(is_v4, "raw", "-A", "PREROUTING", guard)
            loopback = ["-s", "127.0.0.0/8", "-o", bridge, *comment, "-j", "MASQUERADE"]
            self._ensure(is_v4, "nat", "-A", LEAVING, loopback)
        for subnet in link.subnets:
            if (":" not in subnet) != is_v4:
                continue
            inside = ["-s", subnet, "-d", subnet, *comment]
            self._ensure(is_v4, "nat", "-A", LEAVING, [*inside, *STATE, "DNAT", "-j", "MASQUERADE"])
            self._ensure(is_v4, "nat", "-A", LEAVING, [*inside, "-j", "RETURN"])
            if link.masquerade:
                outside = ["-s", subnet, "!", "-o", bridge, *comment, "-j", "MASQUERADE"]
                self._ensure(is_v4, "nat", "-A", LEAVING, outside)

    def _drop_chains(self, *, is_v4: bool) -> None:
        for table, builtin, match, chain in _jumps(is_v4=is_v4):
            self._try(is_v4, "-t", table, "-D", builtin, *match, "-j", chain)
        for table, chain in CHAINS:
            self._try(is_v4, "-t", table, "-X", chain)

    def _ensure(self, is_v4: bool, table: str, how: str, chain: str, rule: list[str]) -> None:  # noqa: FBT001
        if not self._has(is_v4, table, chain, rule):
            self._run(is_v4, "-t", table, how, chain, *rule)

    def _has(self, is_v4: bool, table: str, chain: str, rule: list[str]) -> bool:  # noqa: FBT001
        return not self._try(is_v4, "-t", table, "-C", chain, *rule)

    def _rules(self, is_v4: bool, table: str, chain: str) -> list[list[str]]:  # noqa: FBT001
        try:
            lines = self._run(is_v4, "-t", table, "-S", chain).splitlines()
        except ProgramError:
            return []
        # It quotes what has other characters than letters, digits, _ and -: comments of ours, with
        # a colon, but no space.
        words = [[word.strip('"') for word in line.split()] for line in lines]
        return [line for line in words if line[0] == "-A"]

    def _try(self, is_v4: bool, *words: str) -> str:  # noqa: FBT001
        """What it said when it failed, empty when it did not."""
        try:
            self._run(is_v4, *words)
        except ProgramError as error:
            return error.said
        return ""

    def _run(self, is_v4: bool, *words: str) -> str:  # noqa: FBT001
        name = PROGRAMS[is_v4]
        program = find_program(name, PATH)
        if program is None:
            raise ProgramError(name, "not installed; install Debian's package nftables or iptables")
        environment = {"PATH": PATH, "LC_ALL": "C"}
        done = execute([program, "-w", WAIT_SECONDS, *words], environment)
        if done.status:
            said = done.errors.partition("\n")[0] or f"status {done.status}"
            raise ProgramError(f"{name} {' '.join(words)}", said)
        return done.output.decode("utf-8", "replace")


def _jumps(*, is_v4: bool) -> tuple[tuple[str, str, list[str], str], ...]:
    """(table, built-in chain, what is asked for, our chain). As for ::1, see ``network.nft``."""
    return (
        ("nat", "PREROUTING", LOCAL, PUBLISH),
        ("nat", "OUTPUT", LOCAL if is_v4 else [*LOCAL, "!", "-d", "::1"], PUBLISH),
        ("nat", "POSTROUTING", [], LEAVING),
        ("filter", "FORWARD", [], PASSING),
    )


def _comment(bridge: str) -> list[str]:
    return ["-m", "comment", "--comment", f"ociruntime:{bridge}"]


def _publish(mapping: Mapping) -> list[str]:
    host = [] if mapping.host is None else ["-d", str(mapping.host)]
    target = f"{mapping.target}" if mapping.is_v4 else f"[{mapping.target}]"
    return [
        *host,
        *("-p", mapping.protocol, "--dport", str(mapping.host_port)),
        *("-j", "DNAT", "--to-destination", f"{target}:{mapping.port}"),
    ]

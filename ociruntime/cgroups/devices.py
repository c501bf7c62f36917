"""Device access rules: what the config asks for, and what every container needs.

Source: config-linux.md, "Allowed Device List" ("The runtime MUST apply entries in the listed
order"). On cgroup v1 they become lines of devices.allow and devices.deny
(``cgroups/v1/devices.py``), on v2 a program (``cgroups/v2/bpf.py``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.spec.documents import ResourcesDeviceConfig

POINTER = "/linux/resources/devices"
ALL = "rwm"
KINDS = ("b", "c")
WILDCARD = -1

Key = tuple[str, int, int]

# What containers cannot do without: making any device node (using it is another matter), the
# devices of config-linux.md, "Default Devices", terminals, and /dev/net/tun, which runc and crun
# allow too.
DEFAULTS = (
    ("b", WILDCARD, WILDCARD, "m"),
    ("c", WILDCARD, WILDCARD, "m"),
    ("c", 1, 3, ALL),  # null
    ("c", 1, 5, ALL),  # zero
    ("c", 1, 7, ALL),  # full
    ("c", 1, 8, ALL),  # random
    ("c", 1, 9, ALL),  # urandom
    ("c", 5, 0, ALL),  # tty
    ("c", 5, 2, ALL),  # ptmx
    ("c", 136, WILDCARD, ALL),  # pts/*
    ("c", 10, 200, ALL),  # net/tun
)


class Rule:
    """``allow`` or deny ``access`` (of ``rwm``) to devices; ``kind`` is ``b`` or ``c``,
    ``WILDCARD`` is any number.
    """

    __slots__ = ("access", "allow", "kind", "major", "minor", "pointer")

    def __init__(
        self, kind: str, major: int, minor: int, access: str, pointer: str, *, allow: bool
    ) -> None:
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = "".join(letter for letter in ALL if letter in access)
        self.pointer = pointer
        self.allow = allow

    @property
    def everything(self) -> bool:
        """True for all accesses to all devices of the kind."""
        return self.major == self.minor == WILDCARD and self.access == ALL

    def __str__(self) -> str:
        return line(self.kind, self.major, self.minor, self.access)


def line(kind: str, major: int, minor: int, access: str) -> str:
    """The rule in the words of devices.allow: ``c 136:* rwm``."""
    first = "*" if major == WILDCARD else major
    second = "*" if minor == WILDCARD else minor
    return f"{kind} {first}:{second} {access}"


def rules_of(entries: list[ResourcesDeviceConfig]) -> list[Rule]:
    """The rules in order: ``linux.resources.devices``, then the defaults, last as in runc.

    An entry of type ``a``, which is the default, becomes a rule for ``b`` and one for ``c``.
    Without any entry nothing but the defaults is allowed (as in runc). Where everything is allowed
    but what the config names, that stays denied, except for what is named exactly as a default is:
    so it is on cgroup v1 with runc and crun, whose defaults take back the very same exception only.
    """
    rules = [Rule(kind, WILDCARD, WILDCARD, ALL, POINTER, allow=False) for kind in KINDS]
    for index, entry in enumerate(entries):
        kind = str(entry.get("type") or "a")
        kinds = KINDS if kind == "a" else ("c",) if kind == "u" else (kind,)
        major, minor = device_number(entry.get("major")), device_number(entry.get("minor"))
        access, pointer = str(entry.get("access") or ALL), f"{POINTER}/{index}"
        allow = bool(entry["allow"])
        rules += [Rule(one, major, minor, access, pointer, allow=allow) for one in kinds]
    general = {rule.kind: rule.allow for rule in rules if rule.everything}
    denied = {
        (rule.kind, rule.major, rule.minor)
        for rule in rules
        if not (rule.allow or rule.everything)
    }
    return rules + [
        Rule(kind, major, minor, access, "", allow=True)
        for kind, major, minor, access in DEFAULTS
        if not general[kind] or (kind, major, minor) in denied
    ]


def device_number(value: object) -> int:
    """A number of a rule's device, ``WILDCARD`` where the config leaves it open."""
    return value if isinstance(value, int) and value >= 0 else WILDCARD


def overlaps(one: Key, other: Key) -> bool:
    """True when there are devices that both speak of."""
    return one[0] == other[0] and all(
        a == b or WILDCARD in (a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )

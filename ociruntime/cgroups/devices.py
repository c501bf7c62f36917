"""Device access rules: what the config asks for, what every container needs, and how cgroup v1 is told.

Sources: config-linux.md, "Allowed Device List" ("The runtime MUST apply entries in the listed order");
Documentation/admin-guide/cgroup-v1/devices.rst. On cgroup v2 the same rules become a program (``bpf``).
"""

from __future__ import annotations

from ociruntime.errors import PlanError

POINTER = "/linux/resources/devices"
ALL = "rwm"
WILDCARD = -1

# What containers cannot do without, whatever the config says: making any device node (using it is another matter),
# the devices of config-linux.md, "Default Devices", terminals, and /dev/net/tun, which runc and crun allow too.
DEFAULTS = (
    ("c", WILDCARD, WILDCARD, "m"),
    ("b", WILDCARD, WILDCARD, "m"),
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
    """``allow`` or deny ``access`` (of ``rwm``) to devices; ``kind`` is ``b`` or ``c``, ``WILDCARD`` is any number."""

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


def rules_of(entries: list[dict[str, object]]) -> list[Rule]:
    """The rules in order: those of ``linux.resources.devices``, then the defaults, which come last as in runc.

    An entry of type ``a``, which is the default, becomes a rule for ``b`` and one for ``c``. Without any entry the
    access is not limited: [].
    """
    rules = []
    for index, entry in enumerate(entries):
        kind = str(entry.get("type") or "a")
        for one in ("b", "c") if kind == "a" else ("c",) if kind == "u" else (kind,):
            rules.append(
                Rule(
                    one,
                    _device_number(entry.get("major")),
                    _device_number(entry.get("minor")),
                    str(entry.get("access") or ALL),
                    f"{POINTER}/{index}",
                    allow=bool(entry["allow"]),
                )
            )
    if rules:
        for kind, major, minor, access in DEFAULTS:
            rules.append(Rule(kind, major, minor, access, "", allow=True))
    return rules


def _device_number(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else WILDCARD


Key = tuple[str, int, int]


class Access:
    """The state of a v1 devices cgroup: what applies to most devices, and the accesses that are exceptions to it."""

    __slots__ = ("allow", "defaults", "exceptions")

    def __init__(self, *, allow: bool) -> None:
        self.allow = allow
        self.exceptions: dict[Key, str] = {}
        # Exceptions that no entry of the config asks for.
        self.defaults: set[Key] = set()


def target(rules: list[Rule]) -> Access:
    """The state that the rules lead to, starting from "everything is allowed".

    Raises ``PlanError`` for a rule that takes away a part of what an earlier, wider one gave (or the reverse):
    cgroup v1 keeps a list of exceptions and cannot express an exception to an exception.
    """
    access = Access(allow=True)
    position = 0
    while position < len(rules):
        rule = rules[position]
        other = rules[position + 1] if position + 1 < len(rules) else rule
        if rule.kind == "b" and rule.everything and other.pointer == rule.pointer and other is not rule:
            access = Access(allow=rule.allow)
            position += 2
            continue
        position += 1
        key = (rule.kind, rule.major, rule.minor)
        if rule.allow != access.allow:
            known = access.exceptions.get(key, "")
            access.exceptions[key] = "".join(x for x in ALL if x in known or x in rule.access)
            if not rule.pointer and not known:
                access.defaults.add(key)
        else:
            _take_back(access, rule, key)
    return access


def _take_back(access: Access, rule: Rule, key: Key) -> None:
    """Remove ``rule``'s accesses from the exceptions."""
    for other, letters in list(access.exceptions.items()):
        if not _covers(key, other):
            if _covers(other, key) and set(letters) & set(rule.access):
                raise PlanError(
                    f"linux.resources.devices: {rule!s} ({'allow' if rule.allow else 'deny'}) is an exception to the "
                    f"wider rule {line(*other, letters)}, which cgroup v1 cannot express",
                    rule.pointer or POINTER,
                    "list the wanted devices one by one, or use a host with cgroup v2",
                )
            continue
        left = "".join(letter for letter in letters if letter not in rule.access)
        if left:
            access.exceptions[other] = left
        else:
            del access.exceptions[other]


def _covers(wide: Key, narrow: Key) -> bool:
    """True when every device of ``narrow`` is one of ``wide``."""
    return wide[0] == narrow[0] and all(
        w in (WILDCARD, n) for w, n in zip(wide[1:], narrow[1:], strict=True)
    )


def parse_list(text: str) -> Access:
    """The state that devices.list shows; of a cgroup that allows everything it does not tell the exceptions."""
    lines = text.split("\n")
    access = Access(allow=any(item.startswith("a ") for item in lines))
    if not access.allow:
        for item in lines:
            kind, _, rest = item.partition(" ")
            numbers, _, letters = rest.partition(" ")
            major, _, minor = numbers.partition(":")
            if kind in ("b", "c"):
                access.exceptions[(kind, _listed(major), _listed(minor))] = letters
    return access


def _listed(text: str) -> int:
    return WILDCARD if text == "*" else int(text)


def v1_lines(entries: list[dict[str, object]], listed: str) -> list[tuple[str, str, bool]]:
    """What to write, in order, to get from the state in devices.list to what the config asks for.

    Each item is (file, line, whether it is only one of the defaults, which a stricter parent cgroup may refuse).
    Only differences are written: the kernel refuses to change the rule for "all" once the cgroup has children, and
    a cgroup that has the wanted state must be usable again.
    """
    rules = rules_of(entries)
    if not rules:
        return []
    wanted, current = target(rules), parse_list(listed)
    plus, minus = ("devices.deny", "devices.allow") if wanted.allow else ("devices.allow", "devices.deny")
    lines: list[tuple[str, str, bool]] = []
    if wanted.allow != current.allow:
        lines.append((minus, "a", False))
        current = Access(allow=wanted.allow)
    for key, letters in current.exceptions.items():
        surplus = "".join(x for x in letters if x not in wanted.exceptions.get(key, ""))
        if surplus:
            lines.append((minus, line(*key, surplus), False))
    for key, letters in wanted.exceptions.items():
        missing = "".join(x for x in letters if x not in current.exceptions.get(key, ""))
        if missing:
            lines.append((plus, line(*key, missing), key in wanted.defaults))
    return lines

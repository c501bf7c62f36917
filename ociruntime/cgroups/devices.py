"""Device access rules: what the config asks for, what every container needs, and how cgroup v1 is
told.

Sources: config-linux.md, "Allowed Device List" ("The runtime MUST apply entries in the listed
order"); Documentation/admin-guide/cgroup-v1/devices.rst. On cgroup v2 the same rules become a
program (``bpf``).
"""

from __future__ import annotations

from ociruntime.errors import PlanError

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


def rules_of(entries: list[dict[str, object]]) -> list[Rule]:
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
        major, minor = _device_number(entry.get("major")), _device_number(entry.get("minor"))
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


def _device_number(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else WILDCARD


class Access:
    """The state of a v1 devices cgroup: what applies in general, and the exceptions to it.

    ``defaults`` are the exceptions that no entry of the config asks for.
    """

    __slots__ = ("allow", "defaults", "exceptions")

    def __init__(self, *, allow: bool) -> None:
        self.allow = allow
        self.exceptions: dict[Key, str] = {}
        self.defaults: set[Key] = set()


def target(rules: list[Rule]) -> Access:
    """The state that the rules lead to, starting from "everything is allowed".

    Raises ``PlanError`` for a rule that takes away a part of what an earlier, wider one gave (or
    the reverse): cgroup v1 keeps a list of exceptions and knows no exception to an exception.
    """
    states = {kind: Access(allow=True) for kind in KINDS}
    for rule in rules:
        if rule.everything:
            states[rule.kind] = Access(allow=rule.allow)
            continue
        state = states[rule.kind]
        key = (rule.kind, rule.major, rule.minor)
        if rule.allow == state.allow:
            _take_back(state, rule, key)
            continue
        known = state.exceptions.get(key, "")
        state.exceptions[key] = "".join(x for x in ALL if x in known or x in rule.access)
        if not rule.pointer and not known:
            state.defaults.add(key)
    return _join(*states.values())


def _join(first: Access, second: Access) -> Access:
    """One state for block and character devices, of which v1 has the general rule in common."""
    joined = Access(allow=first.allow and second.allow)
    for state, kind in ((first, KINDS[0]), (second, KINDS[1])):
        if state.allow == joined.allow:
            joined.exceptions.update(state.exceptions)
            joined.defaults |= state.defaults
            continue
        if state.exceptions:
            key, letters = next(iter(state.exceptions.items()))
            raise _inexpressible(line(*key, letters), line(kind, WILDCARD, WILDCARD, ALL), POINTER)
        joined.exceptions[(kind, WILDCARD, WILDCARD)] = ALL
    return joined


def _take_back(access: Access, rule: Rule, key: Key) -> None:
    """Remove ``rule``'s accesses from the exceptions."""
    for other, letters in list(access.exceptions.items()):
        if _covers(key, other):
            left = "".join(letter for letter in letters if letter not in rule.access)
            if left:
                access.exceptions[other] = left
            else:
                del access.exceptions[other]
        elif overlaps(key, other) and set(letters) & set(rule.access):
            raise _inexpressible(str(rule), line(*other, letters), rule.pointer or POINTER)


def _inexpressible(narrow: str, wide: str, pointer: str) -> PlanError:
    return PlanError(
        f"linux.resources.devices: {narrow} is an exception to the wider rule {wide}, which "
        "cgroup v1 cannot express",
        pointer,
        "list the wanted devices one by one, or use a host with cgroup v2",
    )


def overlaps(one: Key, other: Key) -> bool:
    """True when there are devices that both speak of."""
    return one[0] == other[0] and all(
        a == b or WILDCARD in (a, b) for a, b in zip(one[1:], other[1:], strict=True)
    )


def _covers(wide: Key, narrow: Key) -> bool:
    """True when every device of ``narrow`` is one of ``wide``."""
    return wide[0] == narrow[0] and all(
        w in (WILDCARD, n) for w, n in zip(wide[1:], narrow[1:], strict=True)
    )


def parse_list(text: str) -> Access:
    """The state that devices.list shows; of a cgroup that allows everything it does not tell the
    exceptions.
    """
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

    Each item is (file, line, whether it is only one of the defaults, which a stricter parent cgroup
    may refuse). Only differences are written: the kernel refuses to change the rule for "all" once
    the cgroup has children, and a cgroup that has the wanted state must be usable again.
    """
    rules = rules_of(entries)
    if not rules:
        return []
    wanted, current = target(rules), parse_list(listed)
    plus, minus = (
        ("devices.deny", "devices.allow") if wanted.allow else ("devices.allow", "devices.deny")
    )
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

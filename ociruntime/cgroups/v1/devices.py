"""Device access rules as cgroup v1 is told them.

Source: Documentation/admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

from ociruntime.cgroups.devices import (
    ALL,
    KINDS,
    POINTER,
    WILDCARD,
    device_number,
    line,
    overlaps,
    rules_of,
)
from ociruntime.errors import PlanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.devices import Key, Rule
    from ociruntime.spec.documents import ResourcesDeviceConfig


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


def v1_lines(entries: list[ResourcesDeviceConfig], listed: str) -> list[tuple[str, str, bool]]:
    """What to write, in order, to get from the state in devices.list to what the config asks for.

    Each item is (file, line, whether it is only one of the defaults, which a stricter parent cgroup
    may refuse). Only differences are written: the kernel refuses to change the rule for "all" once
    the cgroup has children, and a cgroup that has the wanted state must be usable again.
    """
    if listed == FRESH and denies_all(entries):
        return FRESH_LINES
    return _differences(target(rules_of(entries)), parse_list(listed))


def _differences(wanted: Access, current: Access) -> list[tuple[str, str, bool]]:
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


def denies_all(entries: list[ResourcesDeviceConfig]) -> bool:
    """Whether they leave nothing but the defaults, as most configurations do, each by itself."""
    return all(map(_denies_all, entries))


def _denies_all(entry: ResourcesDeviceConfig) -> bool:
    numbers = device_number(entry.get("major")), device_number(entry.get("minor"))
    return (
        not entry["allow"]
        and numbers == (WILDCARD, WILDCARD)
        and (entry.get("type") or "a") == "a"
        and (entry.get("access") or ALL) == ALL
    )


# What most configurations ask for in a cgroup that is new; nobody changes it.
FRESH = "a *:* rwm"
FRESH_LINES = _differences(target(rules_of([])), parse_list(FRESH))

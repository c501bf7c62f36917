"""Device rules: their order, the v1 lines, and the program for v2 run by an interpreter."""

from __future__ import annotations

import itertools
import random
from struct import unpack_from
from typing import Any

import pytest

from ociruntime.cgroups.devices import DEFAULTS, WILDCARD, Rule, line, rules_of
from ociruntime.cgroups.v1.devices import Access, target, v1_lines
from ociruntime.cgroups.v2.bpf import program
from ociruntime.errors import PlanError

Entry = dict[str, Any]
DENY_ALL: Entry = {"allow": False, "access": "rwm"}
ALLOW_ALL: Entry = {"allow": True, "access": "rwm"}
FUSE: Entry = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
EVERYTHING = "a *:* rwm"
DEFAULT_LINES = [line(*item) for item in DEFAULTS]


def lines(entries: list[Entry], listed: str = EVERYTHING) -> list[tuple[str, str]]:
    return [(file.removeprefix("devices."), text) for file, text, _ in v1_lines(entries, listed)]


def test_no_list_leaves_the_defaults_as_in_runc() -> None:
    assert lines([]) == lines([DENY_ALL])


def test_deny_all_leaves_the_defaults() -> None:
    assert lines([DENY_ALL]) == [("deny", "a"), *(("allow", text) for text in DEFAULT_LINES)]


def test_entries_before_defaults() -> None:
    found = [text for _, text in lines([DENY_ALL, FUSE])]
    assert found.index("a") < found.index("c 10:229 rwm") < found.index("c *:* m")


def test_privileged_writes_nothing() -> None:
    assert lines([ALLOW_ALL]) == []


def test_later_rules_win() -> None:
    assert lines([DENY_ALL, FUSE, {**FUSE, "allow": False}]) == lines([DENY_ALL])
    assert lines([FUSE, DENY_ALL]) == lines([DENY_ALL])
    assert lines([DENY_ALL, ALLOW_ALL]) == []


def test_accesses_of_one_device_add_up() -> None:
    found = lines([DENY_ALL, {**FUSE, "access": "w"}, {**FUSE, "access": "rm"}])
    assert ("allow", "c 10:229 rwm") in found
    assert len([text for _, text in found if "10:229" in text]) == 1


def test_taking_one_access_back() -> None:
    found = lines([DENY_ALL, FUSE, {**FUSE, "allow": False, "access": "w"}])
    assert ("allow", "c 10:229 rm") in found


def test_a_deny_list_starts_from_nothing() -> None:
    assert lines([{**FUSE, "allow": False}]) == lines([DENY_ALL])


def test_a_deny_list_behind_allow_all() -> None:
    """Making the node is denied, too: what is denied by name is no oversight."""
    assert lines([ALLOW_ALL, {**FUSE, "allow": False}]) == [("deny", "c 10:229 rwm")]


def test_a_default_by_its_own_numbers_behind_allow_all() -> None:
    null: Entry = {"allow": False, "type": "c", "major": 1, "minor": 3}
    assert lines([ALLOW_ALL, null]) == []
    assert lines([ALLOW_ALL, {**null, "minor": -1}]) == [("deny", "c 1:* rwm")]
    block: Entry = {"allow": False, "type": "b", "access": "m"}
    assert lines([ALLOW_ALL, block]) == []
    assert lines([ALLOW_ALL, {**block, "major": 7}]) == [("deny", "b 7:* m")]


def test_access_and_numbers_may_be_absent() -> None:
    assert lines([{"allow": False}]) == lines([DENY_ALL])
    found = lines([DENY_ALL, {"allow": True, "type": "b", "major": 8}])
    assert ("allow", "b 8:* rwm") in found


def test_type_a_with_numbers_is_both_kinds() -> None:
    found = lines([DENY_ALL, {"allow": True, "type": "a", "major": 9, "minor": 9, "access": "r"}])
    assert [text for _, text in found if "9:9" in text] == ["b 9:9 r", "c 9:9 r"]


def test_one_kind_denied_altogether() -> None:
    found = lines([ALLOW_ALL, {"allow": False, "type": "b", "access": "rwm"}])
    # v1 has one general rule for both kinds: deny, but all character devices.
    assert found[0] == ("deny", "a")
    assert ("allow", "c *:* rwm") in found
    assert ("allow", "b *:* m") in found
    assert ("allow", "b *:* rwm") not in found


@pytest.mark.parametrize(
    "entries",
    [
        [DENY_ALL, {"allow": True, "type": "c", "major": 1}, {**FUSE, "major": 1, "allow": False}],
        [ALLOW_ALL, {"allow": False, "type": "c", "major": 10}, FUSE],
        [
            DENY_ALL,
            {"allow": True, "type": "c", "major": 3},
            {"allow": False, "type": "c", "minor": 3},
        ],
        [ALLOW_ALL, {"allow": False, "type": "b"}, {**FUSE, "allow": False}],
    ],
)
def test_exceptions_of_exceptions_are_refused_on_v1(entries: list[Entry]) -> None:
    with pytest.raises(PlanError, match="cgroup v1 cannot express") as caught:
        lines(entries)
    assert caught.value.pointer.startswith("/linux/resources/devices")


def test_a_cgroup_in_the_wanted_state_is_left_alone() -> None:
    listed = "\n".join(["c 10:229 rwm", *DEFAULT_LINES])
    assert lines([DENY_ALL, FUSE], listed) == []


def test_only_differences_are_written() -> None:
    listed = "\n".join(["c 7:7 rw", "c 10:229 r", *DEFAULT_LINES])
    assert lines([DENY_ALL, FUSE], listed) == [("deny", "c 7:7 rw"), ("allow", "c 10:229 wm")]


def test_from_a_restricted_parent_to_everything() -> None:
    assert lines([ALLOW_ALL], "c 1:3 rwm") == [("allow", "a")]


def test_only_defaults_may_be_refused_by_a_parent() -> None:
    found = v1_lines([DENY_ALL, FUSE], "c 1:3 r")
    assert [text for _, text, is_default in found if not is_default] == ["c 10:229 rwm"]


# The program for v2.

BLOCK, CHARACTER = 1, 2
MKNOD, READ, WRITE = 1, 2, 4
LETTERS = {"m": MKNOD, "r": READ, "w": WRITE}


def run(code: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """What the kernel's BPF machine answers; an unknown instruction fails."""
    registers = [0] * 6
    context = {0: access << 16 | kind, 4: major, 8: minor}
    at = 0
    while True:
        operation, both, offset, value = unpack_from("=BBhI", code, at * 8)
        to, source = both & 15, both >> 4
        at += 1
        if operation == 0x95:
            return registers[0]
        if operation in (0x16, 0x56):
            at += offset if (registers[to] == value) == (operation == 0x16) else 0
            continue
        if operation == 0x61:
            assert source == 1
            registers[to] = context[offset]
        elif operation == 0x54:
            registers[to] &= value
        elif operation == 0x74:
            registers[to] >>= value
        elif operation == 0xB4:
            registers[to] = value
        else:
            assert operation == 0xBC
            registers[to] = registers[source]


def allowed(rules: list[Rule], kind: str, access: int, major: int, minor: int) -> bool:
    """The meaning of a list: for each access the last rule that speaks of it decides."""
    for letter, bit in LETTERS.items():
        if not access & bit:
            continue
        verdict = True
        for rule in rules:
            if (
                rule.kind == kind
                and rule.major in (WILDCARD, major)
                and rule.minor in (WILDCARD, minor)
                and letter in rule.access
            ):
                verdict = rule.allow
        if not verdict:
            return False
    return True


def check_program(rules: list[Rule]) -> None:
    code = program(rules)
    assert len(code) % 8 == 0
    for kind, major, minor, access in itertools.product("bc", (1, 3), (3, 7), range(1, 8)):
        number = BLOCK if kind == "b" else CHARACTER
        expected = allowed(rules, kind, access, major, minor)
        assert run(code, number, access, major, minor) == expected, (kind, major, minor, access)


def test_program_of_random_rules() -> None:
    source = random.Random(20240117)
    for _ in range(300):
        rules = []
        for _ in range(source.randrange(7)):
            access = "".join(x for x in "rwm" if source.random() < 0.6) or "r"
            numbers = source.choice((WILDCARD, 1, 3)), source.choice((WILDCARD, 3, 7))
            kind, allow = source.choice("bc"), source.random() < 0.5
            rules.append(Rule(kind, *numbers, access, "", allow=allow))
        check_program(rules)


@pytest.mark.parametrize("entries", [[DENY_ALL], [DENY_ALL, FUSE], [ALLOW_ALL], [FUSE]])
def test_program_of_engines(entries: list[Entry]) -> None:
    check_program(rules_of(entries))


def test_program_compares_whole_numbers() -> None:
    code = program([Rule("c", 0xFFFFF, 0xFFFFFFFF, "r", "", allow=False)])
    assert run(code, CHARACTER, READ, 0xFFFFF, 0xFFFFFFFF) == 0
    assert run(code, CHARACTER, READ, 0xFFFFF, 0x7FFFFFFF) == 1


def test_both_versions_agree_where_v1_can() -> None:
    rules = rules_of([DENY_ALL, FUSE, {**FUSE, "minor": 200, "access": "r"}])
    state = target(rules)
    for major, minor, access in itertools.product((1, 10, 136), (3, 200, 229), (1, 2, 4, 6)):
        letters = {letter for letter, bit in LETTERS.items() if access & bit}
        v1 = any(
            kind == "c" and a in (WILDCARD, major) and b in (WILDCARD, minor) and letters <= set(x)
            for (kind, a, b), x in state.exceptions.items()
        )
        assert v1 == run(program(rules), CHARACTER, access, major, minor)


def decided_by_v1(state: Access, kind: str, letter: str, major: int, minor: int) -> bool:
    """What cgroup v1 says of one access: an exception that speaks of it turns the general rule."""
    excepted = any(
        one == kind and a in (WILDCARD, major) and b in (WILDCARD, minor) and letter in letters
        for (one, a, b), letters in state.exceptions.items()
    )
    return excepted != state.allow


def test_both_versions_agree_on_random_lists() -> None:
    """Behind "deny all" and behind "allow all", wherever v1 can express the list."""
    source = random.Random(20260117)
    compared = 0
    for _ in range(600):
        entries: list[Entry] = [source.choice([DENY_ALL, ALLOW_ALL])]
        for _ in range(source.randrange(5)):
            entry: Entry = {"allow": source.random() < 0.5, "type": source.choice("abc")}
            entry["access"] = "".join(x for x in "rwm" if source.random() < 0.6) or "r"
            if source.random() < 0.8:
                entry["major"] = source.choice((1, 7, 136))
            if source.random() < 0.5:
                entry["minor"] = source.choice((3, 9))
            entries.append(entry)
        rules = rules_of(entries)
        try:
            state = target(rules)
        except PlanError:
            continue
        compared += 1
        code = program(rules)
        for kind, letter, major, minor in itertools.product("bc", "rwm", (1, 7, 136), (3, 4, 9)):
            number = BLOCK if kind == "b" else CHARACTER
            v2 = run(code, number, LETTERS[letter], major, minor)
            v1 = decided_by_v1(state, kind, letter, major, minor)
            assert v1 == bool(v2), (entries, kind, letter, major, minor)
    assert compared > 100

"""Flags, listener and key of a profile."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ociruntime.seccomp.profile import (
    NEW_LISTENER,
    SPEC_ALLOW,
    TSYNC,
    TSYNC_ESRCH,
    WAIT_KILLABLE_RECV,
    filter_flags,
    listener_of,
    program_key,
)

from .profiles import condition, profile, rule

NOTIFY = rule("mkdir", "NOTIFY")


def flags(*names: str, rules: tuple[dict[str, Any], ...] = ()) -> int:
    warnings: list[str] = []
    full = [f"SECCOMP_FILTER_FLAG_{name}" for name in names]
    found = filter_flags(profile("ALLOW", *rules, flags=full), warnings)
    assert not warnings
    return found


def test_absent_flags_are_not_empty_flags() -> None:
    assert filter_flags(profile("ALLOW"), []) == SPEC_ALLOW
    assert flags() == 0


def test_flags_are_the_kernel_s() -> None:
    assert flags("LOG") == 2
    assert flags("TSYNC", "SPEC_ALLOW") == TSYNC | SPEC_ALLOW


def test_notifications_make_a_listener() -> None:
    assert flags(rules=(NOTIFY,)) == NEW_LISTENER
    killable = flags("WAIT_KILLABLE_RECV", rules=(NOTIFY,))
    assert killable == NEW_LISTENER | WAIT_KILLABLE_RECV


def test_tsync_with_a_listener_needs_esrch() -> None:
    assert flags("TSYNC", rules=(NOTIFY,)) == NEW_LISTENER | TSYNC | TSYNC_ESRCH


def test_wait_killable_without_notifications_is_left_out_with_a_warning() -> None:
    warnings: list[str] = []
    asked = profile("ALLOW", flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])
    assert filter_flags(asked, warnings) == 0
    assert len(warnings) == 1
    assert "WAIT_KILLABLE_RECV" in warnings[0]


def config(seccomp: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"linux": {"seccomp": seccomp} if seccomp else {}, **more}


def test_listener() -> None:
    asked = profile("ALLOW", NOTIFY, listenerPath="/s", listenerMetadata="m")
    assert listener_of(config(asked)) == {"path": "/s", "metadata": "m"}


def test_listener_is_ignored_without_notifications() -> None:
    assert listener_of(config(profile("ALLOW", listenerPath="/s"))) is None
    assert listener_of(config(None)) is None
    assert listener_of({}) is None


def test_annotation_of_crun_names_the_listener_when_the_profile_does_not() -> None:
    annotations = {"run.oci.seccomp.receiver": "/crun"}
    asked = config(profile("ALLOW", NOTIFY), annotations=annotations)
    assert listener_of(asked) == {"path": "/crun", "metadata": ""}
    asked = config(profile("ALLOW", NOTIFY, listenerPath="/s"), annotations=annotations)
    assert listener_of(asked) == {"path": "/s", "metadata": ""}


BASE = profile("ERRNO", rule("mkdir", args=[condition(0, "EQ", 1)]), architectures=["X86_64"])


def test_key_is_a_file_name_and_stable() -> None:
    key = program_key(BASE)
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert program_key(copy.deepcopy(BASE)) == key


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("defaultAction", "SCMP_ACT_KILL"),
        ("defaultErrnoRet", 1),
        ("architectures", ["SCMP_ARCH_X86"]),
        ("architectures", []),
        ("syscalls", []),
        ("syscalls", [rule("mkdir", args=[condition(0, "EQ", 2)])]),
        ("syscalls", [rule("mkdir", args=[condition(0, "EQ", 1, 1)])]),
        ("syscalls", [rule("mkdir", args=[condition(0, "NE", 1)])]),
        ("syscalls", [rule("mkdirat", args=[condition(0, "EQ", 1)])]),
        ("syscalls", [rule("mkdir", "LOG", args=[condition(0, "EQ", 1)])]),
    ],
)
def test_another_program_has_another_key(member: str, value: Any) -> None:
    assert program_key({**BASE, member: value}) != program_key(BASE)


def test_flags_and_listener_do_not_change_the_program() -> None:
    more = {"flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/s", "listenerMetadata": "m"}
    assert program_key({**BASE, **more}) == program_key(BASE)

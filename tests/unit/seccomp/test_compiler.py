"""Programs made by libseccomp and the prelude, run on paper."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ociruntime.errors import OciError, PlanError
from ociruntime.kernel import libseccomp as binding
from ociruntime.seccomp import bpf, compiler
from ociruntime.seccomp.compiler import compile_program
from ociruntime.spec import newercalls as newer
from ociruntime.spec.tables import SECCOMP_ARCHITECTURES

from .profiles import (
    ALLOW,
    ENOSYS,
    EPERM,
    ERRNO,
    I386,
    KILL_PROCESS,
    KILL_THREAD,
    LOG,
    NOTIFY,
    TRACE,
    TRAP,
    X32_BIT,
    X86_64,
    condition,
    needs_x86_64,
    profile,
    rule,
)


def _has_libseccomp() -> bool:
    try:
        ctypes.CDLL(binding.SONAME)
    except OSError:
        return False
    return True


pytestmark = [
    needs_x86_64,
    pytest.mark.skipif(not _has_libseccomp(), reason="libseccomp.so.2 is not installed"),
]

MKDIR, PERSONALITY, GETPID, EXECVE = 83, 135, 39, 59
ALL = ("X86_64", "X86", "X32")


def returned(
    made: dict[str, Any], number: int, args: Sequence[int] = (), audit: int = X86_64
) -> int:
    return bpf.evaluate(compile_program(made).code, number, audit, args)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KILL", KILL_THREAD),
        ("KILL_THREAD", KILL_THREAD),
        ("KILL_PROCESS", KILL_PROCESS),
        ("TRAP", TRAP),
        ("ERRNO", EPERM),
        ("TRACE", TRACE | 1),
        ("ALLOW", ALLOW),
        ("LOG", LOG),
        ("NOTIFY", NOTIFY),
    ],
)
def test_actions(name: str, value: int) -> None:
    default = "ALLOW" if name != "ALLOW" else "LOG"
    made = profile(default, rule("mkdir", name))
    assert returned(made, MKDIR) == value
    assert returned(made, GETPID) == (ALLOW if default == "ALLOW" else LOG)


@pytest.mark.parametrize("name", ["ERRNO", "TRACE"])
@pytest.mark.parametrize("value", [0, 38, 4094])
def test_values(name: str, value: int) -> None:
    made = profile("ALLOW", rule("mkdir", name, errnoRet=value))
    assert returned(made, MKDIR) == {"ERRNO": ERRNO, "TRACE": TRACE}[name] | value


def test_the_value_of_trace_is_the_tracer_s_business() -> None:
    assert returned(profile("ALLOW", rule("mkdir", "TRACE", errnoRet=0xFFFF)), MKDIR) == 0x7FF0FFFF


def test_a_value_that_is_no_errno() -> None:
    with pytest.raises(PlanError, match=r"seccomp.syscalls\[1\].errnoRet 4095: an er") as caught:
        compile_program(profile("ALLOW", rule("a"), rule("mkdir", "ERRNO", errnoRet=4095)))
    assert caught.value.pointer == "/linux/seccomp/syscalls/1/errnoRet"
    with pytest.raises(PlanError, match=r"seccomp.defaultErrnoRet 65535: an errno is") as caught:
        compile_program(profile("ERRNO", defaultErrnoRet=65535))
    assert caught.value.pointer == "/linux/seccomp/defaultErrnoRet"


@pytest.mark.parametrize(
    ("properties", "value"), [({}, EPERM), ({"defaultErrnoRet": 5}, ERRNO | 5)]
)
def test_default_errno(properties: dict[str, Any], value: int) -> None:
    assert returned(profile("ERRNO", rule("getpid execve"), **properties), 1) == value


@pytest.mark.parametrize(
    ("operator", "value", "second", "holds", "fails"),
    [
        ("NE", 5, 0, (4, 6, 5 | 1 << 32), (5,)),
        ("LT", 5, 0, (0, 4), (5, 6, 1 << 32)),
        ("LE", 5, 0, (4, 5), (6, 1 << 63)),
        ("EQ", 5 | 1 << 40, 0, (5 | 1 << 40,), (5, 1 << 40)),
        ("GE", 5, 0, (5, 6, 1 << 32), (4,)),
        ("GT", 5, 0, (6, 1 << 63), (4, 5)),
        ("MASKED_EQ", 0xF0, 0x30, (0x30, 0x3F, 0x1030), (0x40, 0x70)),
        ("EQ", (1 << 64) - 1, 0, ((1 << 64) - 1,), (0, (1 << 32) - 1)),
    ],
)
def test_operators(
    operator: str, value: int, second: int, holds: tuple[int, ...], fails: tuple[int, ...]
) -> None:
    made = profile("ALLOW", rule("clone", "ERRNO", args=[condition(3, operator, value, second)]))
    for argument in holds:
        assert returned(made, 56, (0, 0, 0, argument)) == EPERM, argument
    for argument in fails:
        assert returned(made, 56, (0, 0, 0, argument)) == ALLOW, argument


def test_all_conditions_must_hold() -> None:
    args = [condition(0, "EQ", 1), condition(1, "EQ", 2)]
    made = profile("ALLOW", rule("mkdir", "ERRNO", args=args))
    assert returned(made, MKDIR, (1, 2)) == EPERM
    assert returned(made, MKDIR, (1, 3)) == ALLOW
    assert returned(made, MKDIR, (0, 2)) == ALLOW


def test_conditions_on_one_argument_are_alternatives() -> None:
    args = [condition(0, "EQ", 0), condition(0, "EQ", 8)]
    made = profile("ERRNO", rule("personality", args=args), rule("mkdir execve"))
    assert returned(made, PERSONALITY, (0,)) == ALLOW
    assert returned(made, PERSONALITY, (8,)) == ALLOW
    assert returned(made, PERSONALITY, (1,)) == EPERM


def test_the_native_architecture_is_always_there() -> None:
    for architectures in ((), ("X86",), ("X86_64", "X86_64"), ("X86", "AARCH64")):
        made = profile("ALLOW", rule("mkdir", "ERRNO"), architectures=architectures)
        assert returned(made, MKDIR) == EPERM


def test_other_architectures_are_refused_unless_named() -> None:
    alone = profile("ALLOW", rule("mkdir", "ERRNO"))
    assert returned(alone, 39, audit=I386) == KILL_THREAD
    assert returned(alone, X32_BIT | MKDIR) == KILL_THREAD
    assert returned(alone, X32_BIT | GETPID) == KILL_THREAD
    every = profile("ALLOW", rule("mkdir", "ERRNO"), architectures=ALL)
    assert returned(every, 39, audit=I386) == EPERM
    assert returned(every, 20, audit=I386) == ALLOW
    assert returned(every, X32_BIT | MKDIR) == EPERM
    assert returned(every, X32_BIT | GETPID) == ALLOW


def test_numbers_above_the_highest_name_are_enosys() -> None:
    made = profile("ERRNO", rule("getpid execve futex_waitv"), architectures=ALL)
    for audit in (X86_64, I386):
        assert returned(made, 448, audit=audit) == EPERM
        assert returned(made, 450, audit=audit) == ENOSYS
    assert returned(made, X32_BIT | 519) == EPERM
    assert returned(made, X32_BIT | 521) == ENOSYS  # execve is 520 there


@pytest.mark.parametrize("default", ["KILL", "KILL_PROCESS", "TRAP", "ERRNO"])
def test_every_refusing_default_gives_enosys(default: str) -> None:
    assert returned(profile(default, rule("execve")), 600) == ENOSYS


@pytest.mark.parametrize(
    ("default", "properties", "value"),
    [
        ("ALLOW", {}, ALLOW),
        ("LOG", {}, LOG),
        ("TRACE", {}, TRACE | 1),
        ("ERRNO", {"defaultErrnoRet": 38}, ENOSYS),
    ],
)
def test_other_defaults_are_kept(default: str, properties: dict[str, Any], value: int) -> None:
    made = profile(default, rule("mkdir", "KILL_PROCESS"), **properties)
    assert returned(made, 600) == value


def test_a_name_counts_as_known_whatever_its_action() -> None:
    made = profile("ERRNO", rule("execve"), rule("futex_waitv", "ERRNO"))
    assert returned(made, 449) == EPERM
    assert returned(made, 448) == EPERM
    assert returned(made, 450) == ENOSYS


def test_direct_numbers_of_what_socketcall_does_are_known() -> None:
    made = profile("ERRNO", rule("execve socket"), architectures=ALL)
    assert returned(made, 359, audit=I386) == ALLOW  # socket
    assert returned(made, 102, (1,), audit=I386) == ALLOW  # socketcall(SYS_SOCKET)
    assert returned(made, 402, audit=I386) == EPERM
    assert returned(made, 403, audit=I386) == ENOSYS


def test_names_of_other_architectures_do_no_harm() -> None:
    made = compile_program(profile("ERRNO", rule("execve chown32 arm_fadvise64_64 socketcall")))
    assert made.skipped == {}
    assert bpf.evaluate(made.code, 57, X86_64) == EPERM  # fork


def test_unknown_names_are_listed_and_left_out() -> None:
    made = compile_program(profile("ALLOW", rule("no_such_call mkdir what", "ERRNO")))
    assert made.skipped == {"no_such_call": "", "what": ""}
    assert bpf.evaluate(made.code, MKDIR, X86_64) == EPERM


def test_a_rule_that_says_what_the_default_says_is_fine() -> None:
    made = profile("ERRNO", rule("mkdir", "ERRNO", errnoRet=1), rule("execve"))
    assert returned(made, MKDIR) == EPERM


def test_the_first_of_two_actions_holds() -> None:
    rules = (rule("mkdir", "ERRNO", errnoRet=5), rule("mkdir", "ERRNO", errnoRet=6))
    assert returned(profile("ALLOW", *rules), MKDIR) == ERRNO | 5


def test_two_actions_for_the_same_conditions_are_an_error() -> None:
    args = [condition(0, "EQ", 1)]
    rules = [rule("mkdir", "ERRNO", errnoRet=number, args=args) for number in (5, 6)]
    with pytest.raises(PlanError, match=r"syscalls\[1\] mkdir.* another action; remove") as caught:
        compile_program(profile("ALLOW", *rules))
    assert caught.value.pointer == "/linux/seccomp/syscalls/1"


def test_another_byte_order_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"architectures\[1\] SCMP_ARCH_PPC: its byte") as caught:
        compile_program(profile("ALLOW", architectures=["X86_64", "PPC"]))
    assert caught.value.pointer == "/linux/seccomp/architectures/1"


def test_too_long_a_program_is_an_error() -> None:
    rules = [
        rule("personality", "ERRNO", args=[condition(0, "EQ", number)]) for number in range(4500)
    ]
    with pytest.raises(PlanError, match="instructions, the kernel takes 4096"):
        compile_program(profile("ALLOW", *rules))


def test_without_libseccomp_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "SONAME", "libseccomp.so.none")
    with pytest.raises(OciError, match="install the package libseccomp2") as caught:
        compile_program(profile("ALLOW"))
    assert "\n" not in str(caught.value)


def test_a_library_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libseccomp.so.2").write_text("not ELF")
    monkeypatch.setattr(binding, "SONAME", str(tmp_path / "libseccomp.so.2"))
    with pytest.raises(OciError, match=r"libseccomp cannot be loaded: .*file too short"):
        compile_program(profile("ALLOW"))


def test_what_oci_init_calls_is_known() -> None:
    made = compile_program(
        profile("ERRNO", rule("execve mount"), rule("capset", "LOG"), rule("sendmsg", "NOTIFY"))
    )
    assert (made.execve, made.capset, made.sendmsg, made.prctl) == (ALLOW, LOG, NOTIFY, EPERM)
    ambient = rule("prctl", args=[condition(0, "EQ", 47)])
    assert compile_program(profile("ERRNO", rule("execve"), ambient)).prctl == ALLOW


def test_the_library_is_noted() -> None:
    made = compile_program(profile("ALLOW"))
    assert made.library.startswith("/")
    assert "libseccomp.so" in made.library
    assert all(made.stamp)


class Old(binding.Library):
    """A libseccomp that ends with Linux 5.15."""

    def resolve(self, architecture: int, name: str) -> int:
        return binding.UNKNOWN if name in newer.NUMBERS else super().resolve(architecture, name)


class TestOldLibrary:
    """Calls that libseccomp does not know but we do."""

    @pytest.fixture(autouse=True)
    def old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compiler, "Library", Old)

    def test_rules_hold(self) -> None:
        rules = (rule("execve mseal"), rule("statmount", "LOG"))
        made = profile("ERRNO", *rules, architectures=ALL)
        for audit, base in ((X86_64, 0), (X86_64, X32_BIT), (I386, 0)):
            assert returned(made, base + 462, audit=audit) == ALLOW
            assert returned(made, base + 457, audit=audit) == LOG
            assert returned(made, base + 461, audit=audit) == EPERM
            assert returned(made, base + 600, audit=audit) == ENOSYS
        assert compile_program(made).skipped == {}

    def test_rules_hold_with_an_allowing_default(self) -> None:
        made = profile("ALLOW", rule("mseal", "ERRNO"))
        assert returned(made, 462) == EPERM
        assert returned(made, 463) == ALLOW

    def test_the_first_of_two_actions_holds(self) -> None:
        made = profile("ALLOW", rule("mseal", "ERRNO", errnoRet=5), rule("mseal", "KILL"))
        assert returned(made, 462) == ERRNO | 5

    def test_the_default_s_action_makes_the_name_known_only(self) -> None:
        made = profile("ERRNO", rule("execve"), rule("mseal", "ERRNO"))
        assert returned(made, 462) == EPERM
        assert returned(made, 463) == ENOSYS

    def test_conditions_are_left_out_with_all_that_concerns_the_name(self) -> None:
        conditional = rule("mseal", args=[condition(0, "EQ", 1)])
        made = compile_program(profile("ERRNO", rule("execve mseal"), conditional))
        assert made.skipped == {"mseal": ""}
        assert bpf.evaluate(made.code, 462, X86_64, (1,)) == ENOSYS


def test_newer_numbers_are_libseccomp_s_where_it_knows_them() -> None:
    library = binding.Library()
    for name, number in newer.NUMBERS.items():
        found = library.resolve(X86_64, name)
        assert found in (number, binding.UNKNOWN), name
        for architecture, base in newer.BASES.items():
            token = SECCOMP_ARCHITECTURES[architecture]
            # Below the pseudo numbers of socketcall and ipc: it is not on that architecture.
            found = library.resolve(token, name)
            assert found in (base + number, binding.UNKNOWN) or found < -10000, name
